/** Names are the terms that an engineer of the field would search for. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UNUSUAL_WORDS, unusualNames } from './support/names.ts';

const ROOT = join(import.meta.dirname, '..');
const FOLDERS = ['src', 'tools', 'agent', 'test', 'bench', 'demo', 'scripts'];

/** Words that some names still have. The list only shrinks. */
const STILL_USED: readonly string[] = [
  'asked',
  'attend',
  'attended',
  'abandonable',
  'bury',
  'carried',
  'carrier',
  'carries',
  'carry',
  'elsewhere',
  'estate',
  'garbage',
  'gone',
  'ground',
  'hostile',
  'hunt',
  'look',
  'looks',
  'news',
  'patience',
  'peek',
  'reaper',
  'remains',
  'settle',
  'spared',
  'spent',
  'told',
  'unborn',
  'verdict',
  'births',
  'birth',
];

const files = FOLDERS.flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|mjs|c|h)$/.test(name))
    .map((name) => join(folder, name))
    // These hold the words themselves.
    .filter((path) => !['test/names.test.ts', 'test/support/names.ts'].includes(path))
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') })),
);

/** The rooms whose names hold none of the words. */
const CLEAN = /^src\/(cli|config|shared|main\.ts)/;

describe('names', () => {
  it('hold no unusual word', () => {
    expect(files.length).toBeGreaterThan(100);
    const found = unusualNames(files).filter(
      (sentence) => !STILL_USED.includes(sentence.split(' ').at(-1) ?? ''),
    );
    expect(found).toEqual([]);
  });

  it('hold none in the rooms that are clean, not even one that others still use', () => {
    expect(unusualNames(files.filter(({ path }) => CLEAN.test(path)))).toEqual([]);
  });

  it('are excepted only for words of the list', () => {
    expect(STILL_USED.filter((word) => !Object.hasOwn(UNUSUAL_WORDS, word))).toEqual([]);
  });

  it.each([
    ['src/x.ts', 'function settleEstate(): void {}', ['settle', 'estate']],
    ['src/x.ts', "const text = 'gone'; // settle", []],
    ['src/births.ts', '', ['births']],
    ['agent/x.c', 'int carry_end(void);', ['carry']],
  ])('are searched by word: %s: %s', (path, text, words) => {
    expect(unusualNames([{ path, text }]).map((sentence) => sentence.split(' ').at(-1))).toEqual(words);
  });
});
