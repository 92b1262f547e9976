import { mkdirSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FolderCursor } from '../../../src/engines/workspace/folder-cursor.ts';
import { GitIgnored } from '../../../src/engines/workspace/git-ignored.ts';
import { HostDirectory } from '../../../src/shared/fs/host-directory.ts';

let root: string;
let opened: HostDirectory[];
let cursors: FolderCursor[];
let git: GitIgnored;

beforeEach(async () => {
  root = realpathSync(mkdtempSync(join(tmpdir(), 'git-ignored-')));
  for (const side of ['folder', 'upper']) mkdirSync(join(root, side));
  opened = [await HostDirectory.open(join(root, 'folder')), await HostDirectory.open(join(root, 'upper'))];
  cursors = opened.map((directory) => new FolderCursor(directory));
  const [folder, sandbox] = cursors;
  if (folder === undefined || sandbox === undefined) throw new Error('two sides');
  git = new GitIgnored({ folder, sandbox }, new AbortController().signal);
});
afterEach(async () => {
  await Promise.all([...cursors, ...opened].map((each) => each.close()));
  rmSync(root, { recursive: true });
});

function write(path: string, text: string): void {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text);
}

describe('what .gitignore files name', () => {
  it('is decided by the deepest rule, the last in its file, and by ignored directories before all', async () => {
    write('folder/.gitignore', '*.log\nbuild/\n/only-here\n');
    write('folder/src/.gitignore', '!keep.log\n/local\n');
    // What the sandbox wrote counts instead of what the folder has.
    write('upper/pkg/.gitignore', 'mine\n');
    write('folder/pkg/.gitignore', 'theirs\n');
    write('folder/build/.gitignore', '!wanted\n');
    const expected: Record<string, boolean> = {
      'a.log': true,
      'a.txt': false,
      'src/a.log': true,
      'src/keep.log': false,
      'src/deep/keep.log': false,
      'src/local': true,
      'src/deep/local': false,
      'src/only-here': false,
      'only-here': true,
      'build/wanted': true,
      'x/build/deep/y': true,
      'x/build': false,
      'pkg/mine': true,
      'pkg/theirs': false,
    };
    const found: Record<string, boolean> = {};
    for (const path of Object.keys(expected)) found[path] = await git.ignores(path);
    expect(found).toEqual(expected);
  });

  it('is limited in the size of all rules together', async () => {
    const many = '#\n'.repeat(32_767);
    for (const name of ['a', 'b', 'c', 'd', 'e']) write(`upper/${name}/.gitignore`, `${many}x\n`);
    const found: boolean[] = [];
    for (const name of ['a', 'b', 'c', 'd', 'e']) found.push(await git.ignores(`${name}/x`));
    // The fifth is not read.
    expect(found).toEqual([true, true, true, true, false]);
  });

  it('drops a pattern that the limit cuts in two', async () => {
    write('upper/.gitignore', `${'#\n'.repeat(32_766)}abcdefgh\n`);
    expect(await git.ignores('abcd')).toBe(false);
  });

  it('is limited in the work of matching: each directory is looked at once, each file until then', async () => {
    write('upper/.gitignore', `${'#\n'.repeat(32_764)}*.log\nout\n`);
    const deep = Array.from({ length: 50 }, () => 'abc').join('/');
    const found: boolean[] = [];
    for (let index = 0; index < 200; index += 1)
      found.push(await git.ignores(`${deep}/${'x'.repeat(196)}${index}.log`));
    // 4,000,000,000 / 65,536 / 400, less what the directories cost.
    const ignored = found.indexOf(false);
    expect(ignored).toBeGreaterThan(100);
    expect(ignored).toBeLessThan(160);
    expect(found.slice(ignored)).not.toContain(true);
  });

  it('needs no matching below an ignored directory', async () => {
    write('upper/.gitignore', `${'#\n'.repeat(32_765)}out\n`);
    const deep = Array.from({ length: 250 }, () => 'abc').join('/');
    for (let index = 0; index < 100; index += 1)
      expect(await git.ignores(`out/${deep}/${index}`), String(index)).toBe(true);
  });
});
