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
import { buffer } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import type { TreeEntry } from '../../../src/engines/engine.ts';
import { contentChunks } from '../../../src/shared/async/content-chunks.ts';
import { writeHostTree } from '../../../tools/transfers/host-tree-write.ts';
import { SkippedEntries } from '../../../tools/transfers/skipped-entries.ts';
import { neverAborted } from '../../registry/support/registry.ts';
import { local, reading } from '../support/host-tree.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';

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
