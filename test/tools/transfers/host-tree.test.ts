import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { TreeEntry } from '../../../src/engines/engine.ts';
import { contentChunks } from '../../../src/shared/fs/content-chunks.ts';
import { openHostEntry } from '../../../src/shared/fs/host-directory.ts';
import { readHostTree } from '../../../tools/transfers/host-tree-read.ts';
import { writeHostTree } from '../../../tools/transfers/host-tree-write.ts';
import type { LocalEntry } from '../../../tools/transfers/local-path.ts';
import { SkippedEntries } from '../../../tools/transfers/skipped-entries.ts';
import { neverAborted } from '../../registry/support/registry.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

interface Wish {
  exclude?: string[];
  stateDir?: string;
  skipped?: SkippedEntries;
}

async function* reading(path: string, wish: Wish = {}): AsyncGenerator<TreeEntry> {
  const { exclude = [], skipped = new SkippedEntries() } = wish;
  const excludes = (path: string): boolean => exclude.includes(path);
  const stateDir = wish.stateDir === undefined ? null : await stat(wish.stateDir);
  yield* readHostTree(
    { root: await local(path), fileMode: null, excludes, stateDir, skipped, onData: () => {} },
    neverAborted,
  );
}

async function local(path: string): Promise<LocalEntry> {
  const entry = await openHostEntry(path);
  onTestFinished(() => entry.parent.close());
  return { ...entry, path };
}

async function namesOf(entries: AsyncIterable<TreeEntry>): Promise<string[]> {
  const names: string[] = [];
  for await (const { path, type, content } of entries) {
    names.push(`${type} ${path}`);
    if (content !== null) await buffer(contentChunks(content));
  }
  return names.sort();
}

/** A path whose last byte is not UTF-8, in a folder with a valid path. */
function undecodable(folder: string, name: string): Buffer {
  return Buffer.concat([Buffer.from(`${folder}/${name}`), Buffer.from([0xff])]);
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

async function write(target: string, entries: Iterable<TreeEntry>) {
  return writeHostTree(await local(target), Readable.from(entries), neverAborted);
}

describe('a tree on the host', () => {
  it('is copied unchanged from one directory to another', async () => {
    const home = await temporaryFolder();
    const from = join(home, 'from');
    await mkdir(join(from, 'sub/empty'), { recursive: true });
    await writeFile(join(from, 'run.sh'), 'echo', { mode: 0o755 });
    await writeFile(join(from, 'sub/data'), Buffer.alloc(200_000, 7));
    await writeFile(join(from, 'sub/skipped'), 'x');
    await symlink('../run.sh', join(from, 'sub/link'));
    const written = await writeHostTree(
      await local(join(home, 'to')),
      reading(from, { exclude: ['sub/skipped'] }),
      neverAborted,
    );
    expect(written).toMatchObject({ files: 2, bytes: 200_004, sha256: null });
    expect(written.skipped.count).toBe(0);
    expect((await readdir(join(home, 'to'), { recursive: true })).sort()).toEqual(
      ['run.sh', 'sub', 'sub/data', 'sub/empty', 'sub/link'].sort(),
    );
    expect((await lstat(join(home, 'to/run.sh'))).mode & 0o777).toBe(0o755);
    expect(await readlink(join(home, 'to/sub/link'))).toBe('../run.sh');
    expect((await readFile(join(home, 'to/sub/data'))).equals(Buffer.alloc(200_000, 7))).toBe(true);
  });

  it('is copied unchanged if it has many small files', async () => {
    const home = await temporaryFolder();
    const contents = (index: number) => [Buffer.from(`file ${index}`), Buffer.alloc(0), Buffer.alloc(50_000)];
    const paths: string[] = [];
    for (const folder of ['from', 'from/a', 'from/a/b']) {
      await mkdir(join(home, folder));
      await symlink('nowhere', join(home, folder, 'link'));
      for (let index = 0; index < 60; index++) {
        const path = `${folder}/f${index}`;
        await writeFile(join(home, path), contents(index)[index % 3] ?? '', {
          mode: index % 2 ? 0o600 : 0o755,
        });
        await utimes(join(home, path), index, index);
        paths.push(path.slice('from'.length));
      }
    }
    await writeFile(join(home, 'from/large'), Buffer.alloc(100_000, 1));
    const large = { files: 181, bytes: 100_000 + 3 * (20 * 50_000 + 136) };
    const written = await writeHostTree(
      await local(join(home, 'to')),
      reading(join(home, 'from')),
      neverAborted,
    );
    expect(written).toMatchObject({ ...large, skipped: { count: 0 } });
    for (const path of paths) {
      const [before, after] = await Promise.all(['from', 'to'].map((side) => stat(join(home, side + path))));
      expect([after?.mode, after?.mtimeMs]).toEqual([before?.mode, before?.mtimeMs]);
      const [old, copy] = await Promise.all(['from', 'to'].map((side) => readFile(join(home, side + path))));
      expect(copy?.equals(old ?? Buffer.alloc(0))).toBe(true);
    }
    expect((await stat(join(home, 'to/f2'))).blocks).toBe(0);
    expect(await readlink(join(home, 'to/a/b/link'))).toBe('nowhere');
  });

  it('does not follow links out of it', async () => {
    const home = await temporaryFolder();
    await mkdir(join(home, 'tree'));
    await mkdir(join(home, 'secret'));
    await writeFile(join(home, 'secret/key'), 'x');
    await symlink('../secret', join(home, 'tree/out'));
    expect(await namesOf(reading(join(home, 'tree')))).toEqual(['directory ', 'symlink out']);
  });

  it("does not include the server's own files", async () => {
    const home = await temporaryFolder();
    await mkdir(join(home, 'deep/state/sub'), { recursive: true });
    await writeFile(join(home, 'deep/state/record'), 'secret');
    await writeFile(join(home, 'deep/state-of-the-art'), 'x');
    const skipped = new SkippedEntries();
    const entries = reading(home, { stateDir: join(home, 'deep/state'), skipped });
    expect(await namesOf(entries)).toEqual(['directory ', 'directory deep', 'file deep/state-of-the-art']);
    expect(skipped.first).toEqual(["deep/state (the server's own state directory)"]);
  });

  it('reports what it skips: names that are not text, fifos and sockets', async () => {
    const home = await temporaryFolder();
    await writeFile(undecodable(home, 'file'), 'x');
    await mkdir(undecodable(home, 'folder'));
    await symlink(Buffer.from([0xfe]), join(home, 'link'));
    await writeFile(undecodable(home, 'excluded'), 'x');
    await writeFile(join(home, 'honest \uFFFD'), 'x');
    execFileSync('mkfifo', [join(home, 'pipe')]);
    const socket = createServer();
    await new Promise<void>((resolve) => socket.listen(join(home, 'sock'), resolve));
    const skipped = new SkippedEntries();
    try {
      const entries = reading(home, { exclude: ['excluded\uFFFD'], skipped });
      expect(await namesOf(entries)).toEqual(['directory ', 'file honest \uFFFD']);
    } finally {
      socket.close();
    }
    expect(skipped.first.sort()).toEqual([
      'file\uFFFD (its name is not UTF-8)',
      'folder\uFFFD (its name is not UTF-8)',
      'link (a link whose target is not UTF-8)',
      'pipe (fifo)',
      'sock (socket)',
    ]);
  });

  it('names a root that is neither a file nor a directory, and its kind', async () => {
    const home = await temporaryFolder();
    execFileSync('mkfifo', [join(home, 'pipe')]);
    await expect(namesOf(reading(join(home, 'pipe')))).rejects.toMatchObject({
      code: 'invalid_argument',
      message: `local_path "${join(home, 'pipe')}" is a fifo, neither a file nor a directory.`,
    });
  });

  it('can be a single file', async () => {
    const home = await temporaryFolder();
    await writeFile(join(home, 'a'), 'content');
    const written = await writeHostTree(await local(join(home, 'b')), reading(join(home, 'a')), neverAborted);
    const sha256 = createHash('sha256').update('content').digest('hex');
    expect(written).toMatchObject({ files: 1, bytes: 7, sha256 });
    expect(await readFile(join(home, 'b'), 'utf8')).toBe('content');
  });

  it('closes its files when the reader stops early', async () => {
    const home = await temporaryFolder();
    await writeFile(join(home, 'a'), Buffer.alloc(1_000_000));
    for await (const { content } of reading(home)) {
      if (content === null) continue;
      for await (const _chunk of contentChunks(content)) break;
      break;
    }
  });
});

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
