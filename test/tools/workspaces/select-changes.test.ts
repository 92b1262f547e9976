import { describe, expect, it } from 'vitest';
import type { WorkspaceChange } from '../../../src/engines/engine.ts';
import { selectChanges } from '../../../tools/workspaces/select-changes.ts';

const change = (path: string, from: string | null = null): WorkspaceChange => ({
  path,
  status: from === null ? 'added' : 'renamed',
  from,
  before: null,
  after: null,
  refused: null,
});
const found = {
  localPath: '/home/me/project',
  path: '/vercel/sandbox',
  changes: [change('a'), change('a.b'), change('lib/new', 'src/old'), change('src/deep/x'), change('src/y')],
  ignored: 0,
  skipped: 0,
};
const select = (...paths: string[]) => {
  const { wanted, unchanged } = selectChanges(found, paths);
  return [wanted.map(({ path }) => path), unchanged];
};

describe('the changes that paths name', () => {
  it('are all without paths, and none for no path', () => {
    expect(selectChanges(found, undefined)).toEqual({ wanted: found.changes, unchanged: [] });
    expect(select()).toEqual([[], []]);
  });

  it.each([
    ['a', ['a']],
    ['src', ['lib/new', 'src/deep/x', 'src/y']],
    ['./src/', ['lib/new', 'src/deep/x', 'src/y']],
    ['src//deep/../y', ['src/y']],
    ['lib', ['lib/new']],
    ['src/old', ['lib/new']],
    ['', found.changes.map(({ path }) => path)],
    ['.', found.changes.map(({ path }) => path)],
    ['/vercel/sandbox', found.changes.map(({ path }) => path)],
    ['/vercel/sandbox/src/deep', ['src/deep/x']],
    ['/home/me/project/src/y', ['src/y']],
    ['/src/y', ['src/y']],
  ])('%s selects %j', (path, expected) => {
    expect(select(path)).toEqual([expected, []]);
  });

  it.each(['sr', 'src/deep/x/y', '../a', '/home/me/project2/a', 'A'])(
    'are none for %s, which is reported as it was given',
    (path) => expect(select('a', path)).toEqual([['a'], [path]]),
  );
});
