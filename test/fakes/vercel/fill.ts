/** Sources that are fetched: a repository or an archive, unpacked into a new sandbox. */
import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { Engine, TreeEntry } from '../../../src/engines/engine.ts';
import { never } from './cloud.ts';
import { ApiFailure } from './reply.ts';
import { runBelow } from './run-below.ts';

const run = promisify(execFile);
const ARCHIVE = '/tmp/source.tar.gz';

export const sourceRequest = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('git'),
    url: z.string(),
    revision: z.string().optional(),
    depth: z.number().int().min(1).optional(),
    username: z.string().optional(),
    password: z.string().optional(),
  }),
  z.strictObject({ type: z.literal('tarball'), url: z.string() }),
  z.strictObject({ type: z.literal('snapshot'), snapshotId: z.string() }),
]);

type Fetched = Exclude<z.infer<typeof sourceRequest>, { type: 'snapshot' }>;

/** Fetches on this machine, as the service does on its own, and unpacks inside. */
export async function fill(engine: Engine, sandboxId: string, source: Fetched): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'source-'));
  try {
    const archive = join(folder, 'source.tar.gz');
    await (source.type === 'git' ? packRepository(source, folder, archive) : download(source.url, archive));
    await engine.files.writeTree(sandboxId, ARCHIVE, null, only(archive), never());
    const script = `tar -xzf ${ARCHIVE} -C /vercel/sandbox --no-same-owner && rm ${ARCHIVE}`;
    const { exitCode, stderr } = await runBelow(engine, sandboxId, 'sh', ['-c', script]);
    if (exitCode !== 0) throw new ApiFailure(400, 'bad_request', `Could not unpack the source: ${stderr}`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function packRepository(
  source: Fetched & { type: 'git' },
  folder: string,
  archive: string,
): Promise<void> {
  const url = new URL(source.url);
  url.username = source.username ?? '';
  url.password = source.password ?? '';
  const tree = join(folder, 'tree');
  const git = (...args: string[]) => run('git', ['-C', tree, ...args]);
  try {
    await run('git', ['init', '-q', tree]);
    const depth = source.depth === undefined ? [] : [`--depth=${source.depth}`];
    await git('fetch', '-q', ...depth, '--', url.href, source.revision ?? 'HEAD');
    await git('checkout', '-q', 'FETCH_HEAD');
    await run('tar', ['-czf', archive, '-C', tree, '.']);
  } catch {
    throw new ApiFailure(400, 'bad_request', `Could not clone ${source.url}`);
  }
}

async function download(url: string, archive: string): Promise<void> {
  const response = await fetch(url).catch(() => null);
  if (!response?.ok) throw new ApiFailure(400, 'bad_request', `Could not download ${url}`);
  await writeFile(archive, Buffer.from(await response.arrayBuffer()));
}

async function* only(path: string): AsyncGenerator<TreeEntry> {
  const content = createReadStream(path);
  yield { path: '', type: 'file', mode: 0o644, linkTarget: null, content };
}
