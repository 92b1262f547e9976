import { lstat, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import type { TreeEntry } from '../../../src/engines/engine.ts';
import { contentChunks } from '../../../src/shared/async/content-chunks.ts';
import { writeHostTree } from '../../../tools/transfers/host-tree-write.ts';
import { neverAborted } from '../../registry/support/registry.ts';
import { local, reading } from '../support/host-tree.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

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

async function write(target: string, entries: Iterable<TreeEntry>) {
  return writeHostTree(await local(target), Readable.from(entries), neverAborted);
}

describe('writing a tree from a sandbox', () => {
  it('works with the longest names', async () => {
    const home = await temporaryFolder();
    for (const name of ['n'.repeat(255), '日'.repeat(85), '\u{1F600}'.repeat(63)]) {
      await write(join(home, name), [file('', name)]);
      expect(await readFile(join(home, name), 'utf8')).toBe(name);
    }
  });

  it('replaces a file, and a link in its place without following it', async () => {
    const home = await temporaryFolder();
    await writeFile(join(home, 'precious'), 'old');
    await symlink('precious', join(home, 'target'));
    await write(join(home, 'target'), [file('', 'new')]);
    expect(await readFile(join(home, 'target'), 'utf8')).toBe('new');
    expect(await readFile(join(home, 'precious'), 'utf8')).toBe('old');
  });

  it('skips links that point outside, and counts them', async () => {
    const home = await temporaryFolder();
    const written = await write(join(home, 'tree'), [
      directory(''),
      link('etc', '/etc'),
      link('up', '../..'),
      link('good', 'file'),
      file('file', 'x'),
    ]);
    expect(written.files).toBe(1);
    expect(written.skipped.first).toEqual([
      'etc (a link that leads out of the tree)',
      'up (a link that leads out of the tree)',
    ]);
    expect((await readdir(join(home, 'tree'))).sort()).toEqual(['file', 'good']);
  });

  it('skips names that are not text, even if many become the same, and counts them', async () => {
    const home = await temporaryFolder();
    const written = await write(join(home, 'tree'), [
      directory(''),
      file('\uFFFD', 'x'.repeat(100_000)),
      file('\uFFFD', 'y'),
      directory('d\uFFFD'),
      file('d\uFFFD/inside', 'x'),
      link('link', 'a\uFFFD'),
      file('kept', 'z'),
    ]);
    expect(written).toMatchObject({ files: 1, bytes: 1 });
    expect(written.skipped.count).toBe(5);
    expect(written.skipped.first[0]).toBe('\uFFFD (its name is not UTF-8)');
    expect(await readdir(join(home, 'tree'))).toEqual(['kept']);
  });

  it('sets no special mode bits and no write permission for others', async () => {
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

  it.each([
    ['has a file that cannot be written', 'n'.repeat(300), 'ENAMETOOLONG'],
    ['turns hostile', '../x', 'server'],
  ])('keeps nothing of one with many files that %s', async (_name, bad, code) => {
    const home = await temporaryFolder();
    const good = Array.from({ length: 400 }, (_, index) => ({
      ...file(`${index}`, ''),
      content: Buffer.from('x'),
    }));
    const last = { ...file(bad, ''), content: Buffer.from('x') };
    const writing = write(join(home, 'tree'), [directory(''), ...good, last]);
    await expect(writing).rejects.toMatchObject({ code });
    expect(await readdir(home)).toEqual([]);
  });

  it('keeps nothing of a cancelled one with many files', async () => {
    const home = await temporaryFolder();
    const controller = new AbortController();
    async function* endless(): AsyncGenerator<TreeEntry> {
      yield directory('');
      for (let index = 0; ; index++) {
        yield { ...file(`${index}`, ''), content: Buffer.from('x') };
        if (index === 500) controller.abort();
      }
    }
    const writing = writeHostTree(await local(join(home, 'tree')), endless(), controller.signal);
    await expect(writing).rejects.toMatchObject({ code: 'cancelled' });
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
      await local(join(home, 'f')),
      Readable.from([file('', endless)]),
      controller.signal,
    );
    await expect(writing).rejects.toMatchObject({ code: 'cancelled' });
    expect(await readdir(home)).toEqual([]);
  });

  it('keeps the times of files and directories', async () => {
    const home = await temporaryFolder();
    const mtimeMs = 1_234_567_890_123;
    await write(join(home, 'tree'), [
      { ...directory(''), mtimeMs },
      { ...file('large', 'x'.repeat(3_000_000)), mtimeMs },
      { ...file('small', 'x'), mtimeMs },
    ]);
    for (const path of ['tree', 'tree/large', 'tree/small'])
      expect(Math.round((await lstat(join(home, path))).mtimeMs)).toBe(mtimeMs);
    const read: (number | undefined)[] = [];
    for await (const entry of reading(join(home, 'tree'))) {
      if (entry.content !== null) await buffer(contentChunks(entry.content));
      read.push(entry.mtimeMs);
    }
    expect(read.map((time) => Math.round(time ?? 0))).toEqual([mtimeMs, mtimeMs, mtimeMs]);
  });
});

async function* failing(): AsyncGenerator<Buffer> {
  yield Buffer.from('part');
  throw new Error('connection lost');
}
