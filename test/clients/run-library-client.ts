/** Runs the job through one client, once for each way of ending, and looks for leftovers. */
import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { leftovers, sandboxCgroups } from '../support/leftovers.ts';
import { SERVER } from '../support/server.ts';
import { startClient, type Target } from './client-process.ts';
import { ENDINGS, type Ending } from './endings.ts';
import { PRINCIPAL, startHttpTarget } from './http-target.ts';
import { type JobResult, runJob } from './job.ts';
import type { Mode } from './library-clients.ts';

/** One transparent pixel. */
const PICTURE = Buffer.from(
  'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==',
  'base64',
);
/** A server has 2 s to end; the rest is for a busy machine. */
const LEFTOVERS_TIMEOUT_MS = 60_000;

export interface ClientSetup {
  /** Holds `host.mjs` and `drivers/`. */
  folder: string;
  driver: string;
  node: string;
  mode?: Mode;
  serverArgs?: readonly string[];
  /** Whether arguments that are null are left out. */
  refusesNulls?: boolean;
}

export interface ClientReport extends JobResult {
  readonly endings: ReadonlyMap<Ending, readonly string[]>;
}

/**
 * The job over the standard streams once per ending, each with a state directory of its own. `problems` are
 * those of all runs.
 */
export async function runLibraryClient(
  setup: ClientSetup,
  endings: readonly Ending[] = ENDINGS,
): Promise<ClientReport> {
  const left = new Map<Ending, string[]>();
  const results: JobResult[] = [];
  const problems: string[] = [];
  for (const ending of endings) {
    const { result, left: remaining } = await inHome(async (home) => {
      const shared = join(home, 'shared');
      await addPicture(shared);
      const args = [SERVER, ...flagsOf(setup, home), '--allow-dir', shared];
      return runOnce(setup, home, { command: process.execPath, args }, ending);
    });
    results.push(result);
    problems.push(...result.problems.map((problem) => `${problem} (before ${ending})`));
    left.set(ending, remaining);
  }
  const [first] = results;
  if (first === undefined) throw new Error('no ending was given');
  return { ...first, problems, endings: left };
}

/**
 * The job over HTTP, from a client that ends in the given way without ending its session. `left` is what the
 * server leaves when it then gets SIGTERM.
 */
export async function runHttpClient(
  setup: ClientSetup,
  ending: Ending,
): Promise<JobResult & { left: readonly string[] }> {
  const { result, left } = await inHome(async (home) => {
    const folders = join(home, 'folders');
    const cwd = join(folders, PRINCIPAL);
    await addPicture(join(cwd, 'shared'));
    const server = await startHttpTarget(cwd, [...flagsOf(setup, home), '--allow-dir', folders]);
    const job = runOnce(setup, home, { url: server.url, headers: server.headers }, ending);
    await Promise.allSettled([job]);
    const code = await server.end();
    const done = await job;
    return { ...done, problems: code === 0 ? done.problems : [...done.problems, `exit code ${code}`] };
  });
  return { ...result, left };
}

/** Runs in a new folder, and waits until what was started there has ended. */
async function inHome<Result>(
  run: (home: string) => Promise<Result>,
): Promise<{ result: Result; left: string[] }> {
  const home = await mkdtemp(join(tmpdir(), 'c-'));
  // Sandbox users work below it.
  await chmod(home, 0o711);
  try {
    const cgroupsBefore = new Set(sandboxCgroups());
    const result = await run(home);
    return { result, left: await waitForNoLeftovers(home, cgroupsBefore) };
  } finally {
    await rm(home, { recursive: true, force: true });
  }
}

async function addPicture(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'picture.png'), PICTURE);
}

function flagsOf({ serverArgs = [] }: ClientSetup, home: string): string[] {
  return ['--state-dir', join(home, 's'), ...serverArgs];
}

async function runOnce(setup: ClientSetup, home: string, target: Target, ending: Ending): Promise<JobResult> {
  const client = await startClient({ ...setup, home, target });
  try {
    return await runJob(client, PICTURE, setup.refusesNulls === true);
  } finally {
    await client.end(ending);
  }
}

/** Processes, mounts and cgroups still present after a while, if they are of these kinds; normally none. */
export async function waitForNoLeftovers(
  home: string,
  cgroupsBefore: ReadonlySet<string>,
  kinds: (text: string) => boolean = () => true,
): Promise<string[]> {
  const until = performance.now() + LEFTOVERS_TIMEOUT_MS;
  for (;;) {
    const left = ownLeftovers(home, cgroupsBefore).filter(kinds);
    if (left.length === 0 || performance.now() > until) return left;
    await delay(100);
  }
}

/** Processes, mounts and cgroups of the servers below `home`. */
export function ownLeftovers(home: string, cgroupsBefore: ReadonlySet<string>): string[] {
  return leftovers(home, cgroupsBefore).filter(
    (text) => !text.startsWith('temporary file ') && !isCgroupOfAnother(text, home),
  );
}

/** Other servers on this machine create sandboxes at the same time. */
function isCgroupOfAnother(text: string, home: string): boolean {
  if (!text.startsWith('cgroup ')) return false;
  const folder = join(home, 's', 'sandboxes');
  const ids = existsSync(folder) ? readdirSync(folder) : [];
  return !ids.some((id) => text.includes(id));
}
