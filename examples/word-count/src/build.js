/** Writes dist/report.html. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { report } from './report.js';

const text = await readFile(new URL('../texts/ferry.txt', import.meta.url), 'utf8');
const page = report('The ferry', text);
const folder = new URL('../dist/', import.meta.url);
await mkdir(folder, { recursive: true });
await writeFile(new URL('report.html', folder), page);
process.stdout.write(`dist/report.html: ${Buffer.byteLength(page)} bytes\n`);
