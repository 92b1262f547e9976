#!/usr/bin/env node
/** word-count [--top N] [FILE]: the most frequent words of a file, or of standard input. */
import { readFile } from 'node:fs/promises';
import { text } from 'node:stream/consumers';
import { parseArgs } from 'node:util';
import { countWords, topWords } from './words.js';

const USAGE = 'usage: word-count [--top N] [FILE]';

function fail(sentence) {
  process.stderr.write(`word-count: ${sentence}\n`);
  process.exitCode = 2;
}

async function main() {
  const { values, positionals } = parseArgs({
    options: { top: { type: 'string', default: '10' } },
    allowPositionals: true,
  });
  const limit = Number(values.top);
  if (!Number.isSafeInteger(limit) || limit < 1)
    return fail(`--top is ${values.top}; it has to be 1 or more`);
  if (positionals.length > 1) return fail(`one file at a time\n${USAGE}`);
  const [file] = positionals;
  const input = file === undefined ? await text(process.stdin) : await readFile(file, 'utf8');
  for (const [word, count] of topWords(countWords(input), limit)) process.stdout.write(`${count}\t${word}\n`);
}

try {
  await main();
} catch (error) {
  fail(error.message);
}
