import { chmod, mkdir, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { TreeEntry } from '../../../src/engines/engine.ts';
import { openHostEntry } from '../../../src/shared/fs/host-directory.ts';
import type { Overwrite } from '../../../tools/transfers/host-tree-place.ts';
import { writeHostTree } from '../../../tools/transfers/host-tree-write.ts';
import { neverAborted } from '../../registry/support/registry.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

function file(path: string, text: string): TreeEntry {
  const content = Readable.from([Buffer.from(text)]);
  return { path, type: 'file', mode: 0o644, linkTarget: null, content };
}

function directory(path: string): TreeEntry {
  return { path, type: 'directory', mode: 0o755, linkTarget: null, content: null };
}

async function write(path: string, entries: Iterable<TreeEntry>, overwrite: Overwrite = 'merge') {
  const target = { ...(await openHostEntry(path)), path };
  try {
    return await writeHostTree(target, Readable.from(entries), neverAborted, { overwrite });
  } finally {
    await target.parent.close();
  }
}

describe('a download to an existing directory', () => {
  it('merges with an existing directory, or replaces it', async () => {
    const home = await temporaryFolder();
    const target = join(home, 'tree');
    await mkdir(join(target, 'sub'), { recursive: true });
    await writeFile(join(target, 'kept'), 'x');
    await writeFile(join(target, 'sub/changed'), 'before');
    const entries = () => [directory(''), directory('sub'), file('sub/changed', 'after'), file('new', 'y')];
    await write(target, entries());
    expect((await readdir(target, { recursive: true })).sort().join()).toBe('kept,new,sub,sub/changed');
    expect(await readFile(join(target, 'sub/changed'), 'utf8')).toBe('after');
    await write(target, entries(), 'replace');
    expect((await readdir(target)).sort()).toEqual(['new', 'sub']);
    await rm(join(target, 'sub'), { recursive: true });
    await symlink(home, join(target, 'sub'));
    await expect(write(target, entries())).rejects.toMatchObject({ code: 'conflict' });
    expect(await readdir(home)).toEqual(['tree']);
  });

  it('neither replaces a directory when overwriting is refused, nor a directory with a file', async () => {
    const home = await temporaryFolder();
    await mkdir(join(home, 'full'));
    await writeFile(join(home, 'full/kept'), 'x');
    for (const entries of [[directory(''), file('a', 'x')], [file('', 'x')]]) {
      await expect(write(join(home, 'full'), entries, 'refuse')).rejects.toMatchObject({ code: 'conflict' });
    }
    await chmod(join(home, 'full'), 0o755);
    expect(await readdir(home)).toEqual(['full']);
    expect(await readdir(join(home, 'full'))).toEqual(['kept']);
  });
});
