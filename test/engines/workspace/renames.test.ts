import { mkdtempSync, realpathSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { WorkspaceChange, WorkspaceEntry } from '../../../src/engines/engine.ts';
import { pairRenames } from '../../../src/engines/workspace/renames.ts';
import { openSides } from './support/open-sides.ts';

let root: string;
let sides: Awaited<ReturnType<typeof openSides>>;

beforeEach(async () => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'renames-')));
  sides = await openSides(root);
});
afterEach(async () => {
  await sides.close();
  rmSync(root, { recursive: true });
});

const entry = (sizeBytes: number): WorkspaceEntry => ({
  type: 'file',
  mode: 0o644,
  sizeBytes,
  modifiedAt: 0,
});
const common = { from: null, refused: null };

function deleted(path: string, text: string): WorkspaceChange {
  writeFileSync(join(root, 'folder', path), text);
  return { path, status: 'deleted', before: entry(text.length), after: null, ...common };
}

function added(path: string, text: string): WorkspaceChange {
  writeFileSync(join(root, 'upper', path), text);
  return { path, status: 'added', before: null, after: entry(text.length), ...common };
}

const pair = async (changes: WorkspaceChange[], signal = new AbortController().signal) =>
  (await pairRenames(sides, changes, signal)).map(({ path, status, from }) => [path, status, from]);

describe('renames', () => {
  it('pair each file once, by content', async () => {
    const changes = [
      deleted('a', 'same'),
      deleted('b', 'same'),
      deleted('c', 'else'),
      added('x', 'same'),
      added('y', 'none'),
      added('z', 'same'),
      added('0', 'same'),
    ];
    expect(await pair(changes)).toEqual([
      ['c', 'deleted', null],
      ['x', 'renamed', 'a'],
      ['y', 'added', null],
      ['z', 'renamed', 'b'],
      ['0', 'added', null],
    ]);
  });

  it('read 1,000 files at most', async () => {
    const numbers = Array.from({ length: 600 }, (_, index) => index);
    const changes = [
      ...numbers.map((index) => deleted(`d${index}`, String(index).padStart(3, '0'))),
      ...numbers.map((index) => added(`a${index}`, String(index).padStart(3, '0'))),
    ];
    const renamed = (await pair(changes)).filter(([, status]) => status === 'renamed');
    expect(renamed).toHaveLength(500);
  });

  it('read 256 MiB at most, of sparse files too, and small files still', async () => {
    const size = 300 * 1_048_576;
    const changes = [deleted('huge', ''), deleted('a', 'small'), added('Huge', ''), added('b', 'small')];
    for (const [index, side] of [[0, 'folder/huge'] as const, [2, 'upper/Huge'] as const]) {
      truncateSync(join(root, side), size);
      const change = changes[index];
      if (change?.before) change.before.sizeBytes = size;
      if (change?.after) change.after.sizeBytes = size;
    }
    expect(await pair(changes)).toEqual([
      ['huge', 'deleted', null],
      ['Huge', 'added', null],
      ['b', 'renamed', 'a'],
    ]);
  });

  it('stop when the call is cancelled', async () => {
    const changes = [deleted('a', 'same'), added('b', 'same')];
    await expect(pair(changes, AbortSignal.abort(new Error('cancelled')))).rejects.toThrow('cancelled');
  });
});
