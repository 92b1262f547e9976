import { expect, it } from 'vitest';
import type { FileExplorer, ListDirectories, ListedEntry } from '../../../../src/engines/engine.ts';
import { Walk } from '../../../../tools/files/walk/walk.ts';

/** What one page of a large directory may have, and one of each directory below it. */
const [LARGE_PAGE, SMALL_PAGE] = [100_000, 10_000];
const FILES = 260_000;
/** Where in its directory each subdirectory is: in a page that is as large as pages become. */
const SUBDIRECTORY = 200_000;
const LEVELS = 3;

const nameOf = (index: number): string => `f${String(index).padStart(6, '0')}`;

/** A chain of large directories, each inside the one before; counts the entries of the pages in use. */
class LargeDirectories implements FileExplorer {
  /** By path. */
  readonly #pages = new Map<string, number>();
  most = 0;

  async list({ directories, limit, after }: ListDirectories) {
    const listed = directories.map((path) => {
      const first = after === undefined ? 0 : Number(after.slice(1)) + 1;
      const count = Math.min(limit, FILES - first);
      this.#pages.set(path, count);
      const hasSubdirectory = path.split('/').length <= LEVELS;
      const entries = Array.from({ length: count }, (_, index): ListedEntry => {
        const isDirectory = hasSubdirectory && first + index === SUBDIRECTORY;
        return {
          name: nameOf(first + index),
          type: isDirectory ? 'directory' : 'file',
          sizeBytes: 0,
          mtimeMs: 0,
        };
      });
      return { entries, hasMore: first + count < FILES, ignoreFile: '', hasGit: false };
    });
    this.most = Math.max(
      this.most,
      [...this.#pages.values()].reduce((sum, count) => sum + count, 0),
    );
    return listed;
  }

  // biome-ignore lint/correctness/useYield: nothing is searched
  async *scan() {
    throw new Error('not used');
  }

  close(): void {}
}

it('a walk keeps one large page at most, however many large directories are inside each other', async () => {
  const explorer = new LargeDirectories();
  const request = { root: '/r', after: [], depth: LEVELS + 1, ignored: true, details: false };
  const walk = await Walk.open(explorer, request);
  let seen = 0;
  while ((await walk?.next()) != null) seen += 1;
  expect(seen).toBe(LEVELS * FILES);
  expect(explorer.most).toBeGreaterThanOrEqual(LARGE_PAGE);
  expect(explorer.most).toBeLessThanOrEqual(LARGE_PAGE + LEVELS * SMALL_PAGE);
});
