import { expect, it } from 'vitest';
import type { SandboxFiles } from '../../../../src/registry/types.ts';
import { pageLines } from '../../../../tools/files/search/page-lines.ts';
import type { SearchPage } from '../../../../tools/files/search/search-page.ts';

const WIDTH = 400;
const lines = Array.from({ length: 300 }, (_, at) => `${at + 1}`.padEnd(WIDTH - 1, '.'));
const content = Buffer.from(lines.map((line) => `${line}\n`).join(''));
const files: Pick<SandboxFiles, 'read'> = {
  read: async (path, _cwd, { offset, limit }) => ({
    path,
    sizeBytes: content.length,
    data: content.subarray(offset, offset + limit),
  }),
};
type Page = Pick<SearchPage, 'files' | 'end'>;

/** Every tenth line matches. */
const matches = lines.flatMap((text, at) =>
  at % 10 === 5 ? [{ line: at + 1, text, offset: at * WIDTH, length: WIDTH - 1 }] : [],
);
const page: Page = { files: ['a', 'b'].map((name) => ({ parts: [name], matches })), end: null };
const linesOf = (context: number, from: Page = page) =>
  pageLines(files, '/', from, context, new AbortController().signal);

it('ends a page whose context is too long after a match, where the next one starts', async () => {
  const { files: found, matches: count, end } = await linesOf(5);
  const shown = found.flatMap((file) => file.lines);
  expect(shown.reduce((sum, { text }) => sum + text.length, 0)).toBeLessThanOrEqual(40_000);
  expect(shown.filter(({ context }) => context === undefined)).toHaveLength(count);
  expect(count).toBeGreaterThan(5);
  expect(end).toEqual({ parts: ['a'], line: 10 * (count - 1) + 6 });
});

it('keeps a page that is short enough, and where it ended', async () => {
  const short: Page = {
    files: [{ parts: ['a'], matches: matches.slice(0, 3) }],
    end: { parts: ['z'], line: 1 },
  };
  const found = await linesOf(1, short);
  expect(found).toMatchObject({ matches: 3, end: { parts: ['z'], line: 1 } });
  expect(found.files[0]?.lines.map(({ line }) => line)).toEqual([5, 6, 7, 15, 16, 17, 25, 26, 27]);
});

it('lists no file of which only context would fit', async () => {
  const { files: found } = await linesOf(4, {
    files: [
      { parts: ['a'], matches: matches.slice(0, 11) },
      { parts: ['b'], matches },
    ],
    end: null,
  });
  for (const file of found) expect(file.lines.some(({ context }) => context === undefined)).toBe(true);
});
