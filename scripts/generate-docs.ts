/**
 * Generates what is derived from the code: docs/tools.md, docs/configuration.md, the tables of tools and
 * engines in the README, and THIRD-PARTY-NOTICES.txt.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TOOLS } from '../tools/index.ts';
import { buildJavaScript } from './build-javascript.mjs';
import { enginesTable } from './docs/engines.ts';
import { replaceBetween } from './docs/markdown.ts';
import { configurationPage, toolsPage, toolsTable } from './docs/pages.ts';
import { thirdPartyNotices } from './third-party-notices.mjs';

const ROOT = join(import.meta.dirname, '..');

await writeFile(join(ROOT, 'docs/tools.md'), toolsPage(TOOLS));
await writeFile(join(ROOT, 'docs/configuration.md'), configurationPage());
const readme = join(ROOT, 'README.md');
const withTools = replaceBetween(await readFile(readme, 'utf8'), 'tools', toolsTable(TOOLS));
await writeFile(readme, replaceBetween(withTools, 'engines', enginesTable()));

const notices = await thirdPartyNotices(ROOT, await buildJavaScript());
await writeFile(join(ROOT, 'THIRD-PARTY-NOTICES.txt'), notices);
