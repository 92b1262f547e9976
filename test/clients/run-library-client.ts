/** Runs the job through one client, once for each way of ending, and looks for leftovers. */
import { existsSync, readdirSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { leftovers, sandboxCgroups } from '../support/leftovers.ts';
import { startClient } from './client-process.ts';
import { ENDINGS, type Ending } from './endings.ts';
import { type JobResult, runJob } from './job.ts';

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
  serverArgs?: readonly string[];
  /** Whether arguments that are null are left out. */
  refusesNulls?: boolean;
}

export interface ClientReport extends JobResult {
  readonly endings: ReadonlyMap<Ending, readonly string[]>;
}

/** The job once per ending, each with a state directory of its own. `problems` are those of all runs. */
export async function runLibraryClient(
  setup: ClientSetup,
  endings: readonly Ending[] = ENDINGS,
): Promise<ClientReport> {
  const left = new Map<Ending, string[]>();
  const problems: string[] = [];
  let first: JobResult | null = null;
  for (const ending of endings) {
    const home = await mkdtemp(join(tmpdir(), 'c-'));
    // Sandbox users work below it.
    await chmod(home, 0o711);
    try {
      const cgroupsBefore = new Set(sandboxCgroups());
      const result = await runOnce(setup, home, ending);
      first ??= result;
      problems.push(...result.problems.map((problem) => `${problem} (before ${ending})`));
      left.set(ending, await waitForNoLeftovers(home, cgroupsBefore));
    } finally {
      await rm(home, { recursive: true, force: true });
    }
  }
  if (first === null) throw new Error('no ending was given');
  return { ...first, problems, endings: left };
}

async function runOnce(setup: ClientSetup, home: string, ending: Ending): Promise<JobResult> {
  const shared = join(home, 'shared');
  await mkdir(shared);
  await writeFile(join(shared, 'picture.png'), PICTURE);
  const serverArgs = ['--state-dir', join(home, 's'), '--allow-dir', shared, ...(setup.serverArgs ?? [])];
  const client = await startClient({ ...setup, home, serverArgs });
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
