/** Sources that are fetched: a repository or an archive, unpacked into a new sandbox. */
import { execFile } from 'node:child_process';
import { createReadStream } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { z } from 'zod';
import type { Engine, TreeEntry } from '../../../../src/engines/engine.ts';
import { ApiFailure } from '../wire/reply.ts';
import { runBelow } from './run-below.ts';
import { never } from './work.ts';

const run = promisify(execFile);
const ARCHIVE = '/tmp/source.tar';

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

export type FetchedSource = Exclude<z.infer<typeof sourceRequest>, { type: 'snapshot' }>;

/**
 * Fetches on this machine, as the service does on its own, and unpacks inside.
 *
 * @param folderInside where it is unpacked
 * @param signal fires when the sandbox ends
 */
export async function fill(
  engine: Engine,
  sandboxId: string,
  source: FetchedSource,
  folderInside: string,
  signal: AbortSignal,
): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), 'source-'));
  try {
    const archive = join(folder, 'source.tar');
    if (source.type === 'git') await packRepository(source, folder, archive, signal);
    else await download(source.url, archive, signal);
    await engine.files.writeTree(sandboxId, ARCHIVE, null, only(archive), never());
    const script = `mkdir -p "$0" && tar -xf ${ARCHIVE} -C "$0" --no-same-owner && rm ${ARCHIVE}`;
    const { exitCode, stderr } = await runBelow(engine, sandboxId, 'sh', ['-c', script, folderInside]);
    if (exitCode !== 0) throw new ApiFailure(400, 'bad_request', `Could not unpack the source: ${stderr}`);
  } catch (error) {
    if (signal.aborted) throw new ApiFailure(410, 'sandbox_stopped', 'Sandbox is stopped and cannot be used');
    throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** git's own settings against prompts, helpers and other protocols. */
const GIT_ENVIRONMENT = {
  PATH: process.env['PATH'],
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_TERMINAL_PROMPT: '0',
  GIT_ALLOW_PROTOCOL: 'http:https',
  LC_ALL: 'C',
};

async function packRepository(
  { url: address, revision, depth, username, password }: FetchedSource & { type: 'git' },
  folder: string,
  archive: string,
  signal: AbortSignal,
): Promise<void> {
  const url = new URL(address);
  url.username = encodeURIComponent(username ?? '');
  url.password = encodeURIComponent(password ?? '');
  const tree = join(folder, 'tree');
  const start = (program: string, args: string[]) => run(program, args, { env: GIT_ENVIRONMENT, signal });
  const git = (...args: string[]) => start('git', ['-C', tree, ...args]);
  const shallow = depth === undefined ? [] : [`--depth=${depth}`];
  try {
    await start('git', ['clone', '-q', ...shallow, '--', url.href, tree]);
    if (revision !== undefined) await checkOut(git, revision.replace(/^refs\/heads\//, ''), shallow);
    await start('tar', ['-cf', archive, '-C', tree, '.']);
  } catch (error) {
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error);
    throw new ApiFailure(400, 'bad_request', `Could not clone ${address}: ${said}`);
  }
}

/** A branch, else a tag, else a commit. */
async function checkOut(
  git: (...args: string[]) => Promise<unknown>,
  revision: string,
  shallow: string[],
): Promise<void> {
  try {
    const branch = `refs/remotes/origin/${revision}`;
    await git('fetch', '-q', ...shallow, 'origin', `+refs/heads/${revision}:${branch}`);
    await git('checkout', '-q', '-B', revision, branch);
  } catch {
    const known = await git('rev-parse', '--verify', `${revision}^{commit}`).catch(() => null);
    if (known === null || shallow.length > 0) await git('fetch', '-q', ...shallow, 'origin', revision);
    await git('checkout', '-q', '--detach', known !== null ? revision : 'FETCH_HEAD');
  }
}

async function download(url: string, archive: string, signal: AbortSignal): Promise<void> {
  let response: Response;
  try {
    response = await fetch(url, { signal });
  } catch (error) {
    const cause = error instanceof Error ? String(error.cause) : String(error);
    throw new ApiFailure(400, 'bad_request', `Could not download ${url}: ${cause}`);
  }
  if (!response.ok)
    throw new ApiFailure(400, 'bad_request', `Could not download ${url}: status ${response.status}`);
  await writeFile(archive, Buffer.from(await response.arrayBuffer()));
}

async function* only(path: string): AsyncGenerator<TreeEntry> {
  const content = createReadStream(path);
  yield { path: '', type: 'file', mode: 0o644, linkTarget: null, content };
}
