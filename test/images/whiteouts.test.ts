/** What the whiteouts of a layer remove. */
import { describe, expect, it } from 'vitest';
import { AddedPaths, removalsOf, whiteoutOf } from '../../src/images/whiteouts.ts';
import { hardlink, tarOf } from '../support/archives.ts';

describe('a whiteout', () => {
  it.each([
    ['usr/file', null],
    ['usr/.wh.file', { kind: 'remove', path: 'usr/file' }],
    ['.wh.usr', { kind: 'remove', path: 'usr' }],
    ['usr/.wh..wh..opq', { kind: 'clear', path: 'usr' }],
    ['.wh..wh..opq', { kind: 'none' }],
    ['usr/.wh..wh.plnk', { kind: 'none' }],
    ['usr/.wh.', { kind: 'none' }],
    ['usr/.wh...', { kind: 'none' }],
    ['usr/.wh..hidden', { kind: 'remove', path: 'usr/.hidden' }],
    [`usr/.wh.${'x'.repeat(5_000)}`, { kind: 'none' }],
  ])('%s', (path, expected) => {
    expect(whiteoutOf(path)).toEqual(expected);
  });

  it('is recognized whatever its type', async () => {
    async function* source() {
      yield tarOf([{ path: 'a/.wh.one' }, hardlink('a/.wh.two', 'a/one'), { path: 'b/.wh..wh..opq' }]);
    }
    expect(await removalsOf(source())).toEqual({ removed: ['a/one', 'a/two'], cleared: ['b'] });
  });
});

describe('what a layer has added', () => {
  it('conflicts with a later whiteout of it, or of a directory that contains it', () => {
    const added = new AddedPaths();
    added.add('usr');
    added.add('usr/deep/er/file');
    const conflicts = (kind: 'remove' | 'clear', path: string) => added.conflictsWith({ kind, path });
    expect(conflicts('remove', 'usr/deep/er/file')).toBe(true);
    expect(conflicts('remove', 'usr/deep')).toBe(true);
    expect(conflicts('clear', 'usr')).toBe(true);
    expect(conflicts('clear', 'usr/deep/er')).toBe(true);
    expect(conflicts('clear', 'usr/deep/er/file')).toBe(false);
    expect(conflicts('remove', 'usr/other')).toBe(false);
    expect(conflicts('remove', 'us')).toBe(false);
  });
});
