/** Another process replaces entries of the allowed folder while the server works there. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { TreeEntry } from '../../../src/engines/engine.ts';
import { contentChunks } from '../../../src/shared/async/content-chunks.ts';
import { SandboxError, systemErrorCode } from '../../../src/shared/errors.ts';
import { type Download, download, type Upload, upload } from '../../../tools/transfers/file-transfer.ts';
import { neverAborted } from '../../registry/support/registry.ts';

const ROUNDS = Number(process.env['RACE_ROUNDS'] ?? 1_000);
/** One round in so many is with a tree of so many files. */
const LARGE_EVERY = 100;
const MANY = 120;
const SECRET = 'only the server may read this';

let home: string;
let swap: string;

beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), 'race-'));
  swap = join(home, 'swap');
  const source = join(import.meta.dirname, 'fixtures/swap.c');
  await promisify(execFile)('cc', ['-O1', '-Wall', '-Werror', '-o', swap, source]);
});
afterAll(() => rm(home, { recursive: true, force: true }));

interface World {
  bounds: { allowDirs: string[]; stateDir: string };
  allowed: string;
  secret: string;
}

/** `allowed/dir` is a directory, `allowed/link` leads to a folder outside with files of the same names. */
async function world(): Promise<World> {
  const folder = await mkdtemp(join(home, 'world-'));
  const [allowed, secret] = [join(folder, 'allowed'), join(folder, 'secret')];
  await mkdir(join(allowed, 'dir/sub'), { recursive: true });
  await mkdir(join(secret, 'sub'), { recursive: true });
  for (const name of ['file', 'sub/file']) {
    await writeFile(join(allowed, 'dir', name), 'public');
    await writeFile(join(secret, name), SECRET);
  }
  // Enough for the thread.
  for (const folder of [join(allowed, 'dir'), secret]) {
    await mkdir(join(folder, 'many'));
    for (let index = 0; index < MANY; index++)
      await writeFile(join(folder, 'many', `${index}`), folder === secret ? SECRET : 'public');
  }
  await symlink(secret, join(allowed, 'link'));
  return { bounds: { allowDirs: [allowed], stateDir: join(folder, 'state') }, allowed, secret };
}

/** Runs the rounds while entries are being swapped; returns the number of successful rounds and of swaps. */
async function race({ allowed, secret }: World, round: (n: number) => Promise<unknown>) {
  const swapper: ChildProcess = spawn(swap, [allowed, secret], { stdio: ['pipe', 'pipe', 'inherit'] });
  const output = swapper.stdout === null ? '' : text(swapper.stdout);
  const ended = once(swapper, 'exit');
  let done = 0;
  try {
    for (let n = 0; n < ROUNDS; n += 1) {
      try {
        await round(n);
        done += 1;
      } catch (error) {
        // A refusal, or a file system error caused by the swap.
        if (!(error instanceof SandboxError) && systemErrorCode(error) === null) throw error;
      }
    }
  } finally {
    swapper.stdin?.end();
    await ended;
  }
  return { done, swaps: Number(await output) };
}

function uploads({ bounds }: World, found: string[]) {
  const handle: Parameters<typeof upload>[0] = {
    requireRunning: () => Promise.resolve(),
    files: {
      stat: () => Promise.resolve(null),
      async writeTree(path, _cwd, entries) {
        let bytes = 0;
        for await (const { content } of entries) {
          if (content === null) continue;
          const data = await text(contentChunks(content));
          bytes += data.length;
          found.push(data);
        }
        return { path, files: 1, bytes };
      },
    },
  };
  return (localPath: string) => {
    const exclude = localPath === 'dir/many' ? [] : ['many'];
    const request: Upload = { localPath, remotePath: 'x', cwd: null, mode: null, exclude };
    return upload(handle, request, bounds, neverAborted, () => {});
  };
}

function downloads({ bounds }: World) {
  const file = (path: string): TreeEntry => ({
    path,
    type: 'file',
    mode: 0o644,
    linkTarget: null,
    content: Readable.from([Buffer.from('downloaded')]),
  });
  const directory = (path: string): TreeEntry => ({
    path,
    type: 'directory',
    mode: 0o755,
    linkTarget: null,
    content: null,
  });
  const trees: Record<string, () => TreeEntry[]> = {
    file: () => [file('')],
    tree: () => [directory(''), directory('sub'), file('sub/new'), file('new')],
    many: () => [
      directory(''),
      ...Array.from({ length: MANY }, (_, index) => ({ ...file(`${index}`), content: Buffer.from('x') })),
    ],
    broken: () => [directory(''), directory('sub'), file('sub/new'), file('../no')],
  };
  const handle: Parameters<typeof download>[0] = {
    requireRunning: () => Promise.resolve(),
    files: {
      stat: (path) =>
        Promise.resolve({ path, type: path === 'file' ? 'file' : 'directory', sizeBytes: 10, mode: 0o644 }),
      readTree: (path) => Readable.from(trees[path]?.() ?? []),
    },
  };
  return (remotePath: string, localPath: string) => {
    const request: Download = { localPath, remotePath, cwd: null, createParents: true, overwrite: 'merge' };
    return download(
      handle,
      request,
      bounds,
      neverAborted,
      () => {},
      () => Promise.resolve(),
    );
  };
}

describe('a folder that another process keeps replacing', () => {
  it('never leads an upload of files or trees to a folder outside', async () => {
    const place = await world();
    const found: string[] = [];
    const send = uploads(place, found);
    const paths = ['dir/file', 'dir', 'dir/sub', 'dir/sub/file', '.'];
    const { done, swaps } = await race(place, (n) =>
      send(n % LARGE_EVERY === 0 ? 'dir/many' : (paths[n % paths.length] ?? 'dir')),
    );
    expect(found.filter((data) => data === SECRET)).toEqual([]);
    // The rounds saw both states, so the race took place.
    expect(done).toBeGreaterThan(0);
    expect(found).toContain('public');
    expect(swaps).toBeGreaterThan(ROUNDS);
  });

  it('never leads a download, or the removal of a failed one, to a folder outside', async () => {
    const place = await world();
    const receive = downloads(place);
    const kinds = ['file', 'tree', 'broken'];
    const { done, swaps } = await race(place, (n) =>
      receive(
        n % LARGE_EVERY === 0 ? 'many' : (kinds[n % kinds.length] ?? 'file'),
        n % 2 === 0 ? `dir/got-${n}` : `dir/made-${n}/deep/got`,
      ),
    );
    await rm(join(place.secret, 'many'), { recursive: true });
    expect((await readdir(place.secret, { recursive: true })).sort()).toEqual(['file', 'sub', 'sub/file']);
    for (const name of ['file', 'sub/file'])
      expect(await readFile(join(place.secret, name), 'utf8')).toBe(SECRET);
    expect(done).toBeGreaterThan(0);
    expect(swaps).toBeGreaterThan(ROUNDS);
  });
});
