/**
 * Generates what is derived from the code: docs/tools.md, docs/configuration.md, the table of engines in docs/cloud.md,
 * and THIRD-PARTY-NOTICES.txt.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TOOLS } from '../tools/index.ts';
import { buildJavaScript } from './build-javascript.mjs';
import { enginesTable } from './docs/engines.ts';
import { replaceBetween } from './docs/markdown.ts';
import { configurationPage, toolsPage } from './docs/pages.ts';
import { thirdPartyNotices } from './third-party-notices.mjs';

const ROOT = join(import.meta.dirname, '..');

await writeFile(join(ROOT, 'docs/tools.md'), toolsPage(TOOLS));
await writeFile(join(ROOT, 'docs/configuration.md'), configurationPage());
const cloud = join(ROOT, 'docs/cloud.md');
await writeFile(cloud, replaceBetween(await readFile(cloud, 'utf8'), 'engines', enginesTable()));

const notices = await thirdPartyNotices(ROOT, await buildJavaScript());
await writeFile(join(ROOT, 'THIRD-PARTY-NOTICES.txt'), notices);
