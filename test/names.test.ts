/** Names are the terms that an engineer of the field would search for. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ALLOWED, unusualNames } from './support/rules/names.ts';

const ROOT = join(import.meta.dirname, '..');
const FOLDERS = ['src', 'tools', 'agent', 'test', 'bench', 'demo', 'scripts'];

const files = FOLDERS.flatMap((folder) =>
  readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.(ts|mjs|c|h)$/.test(name))
    .map((name) => join(folder, name))
    // These contain the words themselves.
    .filter((path) => !['test/names.test.ts', 'test/support/rules/names.ts'].includes(path))
    .map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') })),
);

describe('names', () => {
  it('contain no unusual word', () => {
    expect(files.length).toBeGreaterThan(100);
    expect(unusualNames(files, ALLOWED)).toEqual([]);
  });

  it('are allowed only if they contain the word', () => {
    const needed = (place: string): boolean => {
      const { [place]: _, ...others } = ALLOWED;
      return unusualNames(files, others).length > 0;
    };
    expect(Object.keys(ALLOWED).filter((place) => !needed(place))).toEqual([]);
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
