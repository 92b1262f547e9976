import { createHash } from 'node:crypto';
import { chmod, lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { TreeEntry } from '../../src/engines/engine.ts';
import { readHostTree } from '../../tools/host-tree-read.ts';
import { writeHostTree } from '../../tools/host-tree-write.ts';
import { neverAborted } from '../registry/support.ts';
import { temporaryFolder } from './temporary-folder.ts';

function reading(root: string, exclude: string[] = []): AsyncGenerator<TreeEntry> {
  const excludes = (path: string): boolean => exclude.includes(path);
  return readHostTree({ root, fileMode: null, excludes, onData: () => {} }, neverAborted);
}

function file(path: string, content: string | Readable, mode = 0o644): TreeEntry {
  const stream = typeof content === 'string' ? Readable.from([Buffer.from(content)]) : content;
  return { path, type: 'file', mode, linkTarget: null, content: stream };
}

function directory(path: string, mode = 0o755): TreeEntry {
  return { path, type: 'directory', mode, linkTarget: null, content: null };
}

function link(path: string, linkTarget: string): TreeEntry {
  return { path, type: 'symlink', mode: 0o777, linkTarget, content: null };
}

async function write(target: string, entries: Iterable<TreeEntry>): ReturnType<typeof writeHostTree> {
  return writeHostTree(target, Readable.from(entries), 65_536, neverAborted);
}

describe('a tree of this machine', () => {
  it('comes out of a directory and goes into another as it was', async () => {
    const home = await temporaryFolder();
    const from = join(home, 'from');
    await mkdir(join(from, 'sub/empty'), { recursive: true });
    await writeFile(join(from, 'run.sh'), 'echo', { mode: 0o755 });
    await writeFile(join(from, 'sub/data'), Buffer.alloc(200_000, 7));
    await writeFile(join(from, 'sub/skipped'), 'x');
    await symlink('../run.sh', join(from, 'sub/link'));
    const written = await writeHostTree(
      join(home, 'to'),
      reading(from, ['sub/skipped']),
      65_536,
      neverAborted,
    );
    expect(written).toEqual({ files: 2, bytes: 200_004, sha256: null, skippedLinks: 0 });
    expect((await readdir(join(home, 'to'), { recursive: true })).sort()).toEqual(
      ['run.sh', 'sub', 'sub/data', 'sub/empty', 'sub/link'].sort(),
    );
    expect((await lstat(join(home, 'to/run.sh'))).mode & 0o777).toBe(0o755);
    expect(await readlink(join(home, 'to/sub/link'))).toBe('../run.sh');
    expect((await readFile(join(home, 'to/sub/data'))).equals(Buffer.alloc(200_000, 7))).toBe(true);
  });

  it('is not left by its links', async () => {
    const home = await temporaryFolder();
    await mkdir(join(home, 'tree'));
    await mkdir(join(home, 'secret'));
    await writeFile(join(home, 'secret/key'), 'x');
    await symlink('../secret', join(home, 'tree/out'));
    const entries: TreeEntry[] = [];
    for await (const entry of reading(join(home, 'tree'))) entries.push(entry);
    expect(entries.map(({ path, type }) => `${type} ${path}`)).toEqual(['directory ', 'symlink out']);
  });

  it('can be a single file', async () => {
    const home = await temporaryFolder();
    await writeFile(join(home, 'a'), 'content');
    const written = await writeHostTree(join(home, 'b'), reading(join(home, 'a')), 1, neverAborted);
    const sha256 = createHash('sha256').update('content').digest('hex');
    expect(written).toEqual({ files: 1, bytes: 7, sha256, skippedLinks: 0 });
    expect(await readFile(join(home, 'b'), 'utf8')).toBe('content');
  });

  it('leaves its files closed when the reader stops early', async () => {
    const home = await temporaryFolder();
    await writeFile(join(home, 'a'), Buffer.alloc(1_000_000));
    for await (const { content } of reading(home)) {
      if (content === null) continue;
      for await (const _chunk of content) break;
      break;
    }
  });
});

describe('writing what a sandbox sends', () => {
  it('replaces a file, and a link in its place without following it', async () => {
    const home = await temporaryFolder();
    await writeFile(join(home, 'precious'), 'old');
    await symlink('precious', join(home, 'target'));
    await write(join(home, 'target'), [file('', 'new')]);
    expect(await readFile(join(home, 'target'), 'utf8')).toBe('new');
    expect(await readFile(join(home, 'precious'), 'utf8')).toBe('old');
  });

  it('leaves out links that lead away, and counts them', async () => {
    const home = await temporaryFolder();
    const written = await write(join(home, 'tree'), [
      directory(''),
      link('etc', '/etc'),
      link('up', '../..'),
      link('good', 'file'),
      file('file', 'x'),
    ]);
    expect(written).toMatchObject({ files: 1, skippedLinks: 2 });
    expect((await readdir(join(home, 'tree'))).sort()).toEqual(['file', 'good']);
  });

  it('grants no special bits and no writing by others', async () => {
    const home = await temporaryFolder();
    await write(join(home, 'tree'), [
      directory('', 0o1777),
      file('suid', 'x', 0o6777),
      directory('locked', 0),
    ]);
    expect((await lstat(join(home, 'tree'))).mode & 0o7777).toBe(0o755);
    expect((await lstat(join(home, 'tree/suid'))).mode & 0o7777).toBe(0o755);
    expect((await lstat(join(home, 'tree/locked'))).mode & 0o7777).toBe(0o700);
  });

  it.each([
    ['breaks off', () => [directory(''), file('a', 'x'), file('b', Readable.from(failing()))]],
    ['turns hostile', () => [directory(''), file('a', 'x'), file('../b', 'x')]],
  ])('keeps nothing of a tree that %s', async (_name, entries) => {
    const home = await temporaryFolder();
    await expect(write(join(home, 'tree'), entries())).rejects.toThrow();
    expect(await readdir(home)).toEqual([]);
  });

  it('keeps nothing of a cancelled one', async () => {
    const home = await temporaryFolder();
    const controller = new AbortController();
    const endless = Readable.from(
      (async function* () {
        for (;;) {
          yield Buffer.alloc(1_000);
          controller.abort();
        }
      })(),
    );
    const writing = writeHostTree(
      join(home, 'f'),
      Readable.from([file('', endless)]),
      65_536,
      controller.signal,
    );
    await expect(writing).rejects.toMatchObject({ code: 'cancelled' });
    expect(await readdir(home)).toEqual([]);
  });

  it('does not put a tree over one that is there, nor a file over a directory', async () => {
    const home = await temporaryFolder();
    await mkdir(join(home, 'full'));
    await writeFile(join(home, 'full/kept'), 'x');
    for (const entries of [[directory(''), file('a', 'x')], [file('', 'x')]]) {
      await expect(write(join(home, 'full'), entries)).rejects.toMatchObject({ code: 'conflict' });
    }
    await chmod(join(home, 'full'), 0o755);
    expect(await readdir(home)).toEqual(['full']);
    expect(await readdir(join(home, 'full'))).toEqual(['kept']);
  });
});

async function* failing(): AsyncGenerator<Buffer> {
  yield Buffer.from('part');
  throw new Error('connection lost');
}
