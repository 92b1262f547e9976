/** Writes the pages that follow from the code: docs/tools.md, docs/configuration.md and the tool table of the README. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TOOLS } from '../tools/index.ts';
import { replaceBetween } from './docs/markdown.ts';
import { configurationPage, toolsPage, toolsTable } from './docs/pages.ts';

const ROOT = join(import.meta.dirname, '..');

await writeFile(join(ROOT, 'docs/tools.md'), toolsPage(TOOLS));
await writeFile(join(ROOT, 'docs/configuration.md'), configurationPage());
const readme = join(ROOT, 'README.md');
await writeFile(readme, replaceBetween(await readFile(readme, 'utf8'), 'tools', toolsTable(TOOLS)));
