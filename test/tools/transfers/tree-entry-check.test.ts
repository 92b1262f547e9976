import { describe, expect, it } from 'vitest';
import type { TreeEntry } from '../../../src/engines/engine.ts';
import { staysInside } from '../../../src/shared/fs/link-target.ts';
import { TreeEntryChecker } from '../../../tools/transfers/tree-entry-check.ts';

function entry(path: string, type: TreeEntry['type'] = 'file'): TreeEntry {
  return { path, type, mode: 0o644, linkTarget: null, content: null };
}

describe('TreeEntryChecker', () => {
  it('accepts a valid tree', () => {
    const checker = new TreeEntryChecker();
    for (const each of [
      entry('', 'directory'),
      entry('a', 'directory'),
      entry('a/b'),
      entry('link', 'symlink'),
    ]) {
      expect(() => checker.check(each)).not.toThrow();
    }
  });

  it.each(['..', '../x', 'a/../../x', '/etc/passwd', 'a//b', './a', 'a/.', 'a\0b', 'a/'])(
    'rejects %j',
    (path) => {
      const checker = new TreeEntryChecker();
      checker.check(entry('', 'directory'));
      checker.check(entry('a', 'directory'));
      expect(() => checker.check(entry(path))).toThrow(/entry/);
    },
  );

  it('rejects entries below a link or a file, or in no directory', () => {
    const checker = new TreeEntryChecker();
    checker.check(entry('', 'directory'));
    checker.check(entry('link', 'symlink'));
    checker.check(entry('file'));
    for (const path of ['link/x', 'file/x', 'never/x']) {
      expect(() => checker.check(entry(path))).toThrow(/is not in a directory/);
    }
    expect(() => new TreeEntryChecker().check(entry('a'))).toThrow(/is not in a directory/);
  });

  it('rejects a second entry at the same path, and a link as the root', () => {
    const checker = new TreeEntryChecker();
    checker.check(entry('', 'directory'));
    checker.check(entry('a', 'directory'));
    expect(() => checker.check(entry('a', 'symlink'))).toThrow(/twice/);
    expect(() => new TreeEntryChecker().check(entry('', 'symlink'))).toThrow(/link in place/);
  });
});

describe('staysInside', () => {
  it.each([
    ['link', 'file', true],
    ['link', './a/b', true],
    ['a/link', '../b', true],
    ['a/b/link', '../../c', true],
    ['link', '.', true],
    ['link', '..', false],
    ['link', '../a', false],
    ['a/link', '../../b', false],
    ['link', '/etc/passwd', false],
    ['link', '', false],
    ['link', 'a\0', false],
    // If the name is a link to the root of the tree, this points outside of it.
    ['a/b/link', 'up/..', false],
  ])('%s to %j: %s', (path, target, expected) => {
    expect(staysInside(path, target)).toBe(expected);
  });
});
