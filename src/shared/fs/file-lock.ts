import { readFileSync, rmSync } from 'node:fs';
import { readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { whenAborted } from '../async/when-aborted.ts';
import { SandboxError, systemErrorCode, throwIfCancelled } from '../errors.ts';
import { currentProcess, isProcessAlive, type ProcessIdentity } from '../process-identity.ts';
import { temporaryName } from './atomic-file.ts';
import { diskFullError, isDiskFull } from './disk-full.ts';

const WAIT_LIMIT_MS = 10_000;
/** The poll interval for a lock that is held for longer than usual. */
const LONG_PAUSE_MS = 50;

export interface LockOptions {
  /** How long to wait for a living holder; 10 s by default. */
  waitMs?: number;
  /** Cancels the wait, not the work. */
  signal?: AbortSignal;
}

function parseHolder(text: string): ProcessIdentity | null {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return null;
    if (!('pid' in value) || !('startTime' in value) || !('bootId' in value)) return null;
    const { pid, startTime, bootId } = value;
    if (typeof pid !== 'number' || typeof startTime !== 'string' || typeof bootId !== 'string') return null;
    return { pid, startTime, bootId };
  } catch {
    return null;
  }
}

/**
 * Removes a dead holder's lock. If another process has already replaced it, that process's new lock is put
 * back.
 */
async function breakLock(path: string, seen: string): Promise<void> {
  const aside = temporaryName(path);
  try {
    await rename(path, aside);
    const taken = await readFile(aside, 'utf8');
    if (taken === seen) await rm(aside, { force: true });
    else await rename(aside, path);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
}

/** Whether a process that this one may inspect has the file open. */
async function isOpenSomewhere(path: string): Promise<boolean> {
  try {
    const file = await stat(path);
    for (const pid of (await readdir('/proc')).filter((name) => /^[0-9]+$/.test(name))) {
      // Processes end, and other users' cannot be inspected: neither holds the lock.
      const names = await readdir(`/proc/${pid}/fd`).catch(() => []);
      for (const name of names) {
        const open = await stat(`/proc/${pid}/fd/${name}`).catch(() => null);
        if (open !== null && open.ino === file.ino && open.dev === file.dev) return true;
      }
    }
  } catch {
    // Gone meanwhile, or not Linux.
  }
  return false;
}

/**
 * A full disk lets a file be created but not written. A lock file with content belongs to another process.
 */
async function removeUnfilled(path: string): Promise<void> {
  if ((await readFile(path, 'utf8').catch(() => 'gone')) === '') await rm(path, { force: true });
}

async function acquire(path: string, content: string, options: LockOptions): Promise<void> {
  const began = performance.now();
  const deadline = began + (options.waitMs ?? WAIT_LIMIT_MS);
  let emptySince: number | null = null;
  for (;;) {
    if (options.signal !== undefined) throwIfCancelled(options.signal);
    try {
      await writeFile(path, content, { flag: 'wx', mode: 0o600 });
      return;
    } catch (error) {
      if (isDiskFull(error)) await removeUnfilled(path);
      if (systemErrorCode(error) !== 'EEXIST') throw diskFullError(error);
    }
    const seen = await readFile(path, 'utf8').catch((error: unknown) => {
      if (systemErrorCode(error) === 'ENOENT') return null;
      throw error;
    });
    const holder = seen === null ? null : parseHolder(seen);
    // A holder that has just created the file has not written it yet; one that was killed in between never
    // will.
    emptySince = seen !== null && holder === null ? (emptySince ?? performance.now()) : null;
    let abandoned = emptySince !== null && performance.now() - emptySince > 500;
    if (abandoned && (await isOpenSomewhere(path))) {
      // On a busy machine the holder may not have written it yet.
      abandoned = false;
      emptySince = null;
    }
    if (seen !== null && (abandoned || (holder !== null && !isProcessAlive(holder))))
      await breakLock(path, seen);
    else if (performance.now() > deadline) {
      throw new SandboxError('conflict', 'Another server is changing the same record.', {
        hint: 'Call again in a moment.',
      });
    } else await delay(performance.now() - began > 1_000 ? LONG_PAUSE_MS : 2);
  }
}

const queues = new Map<string, Promise<unknown>>();

/** The locks of this process with their contents; null until the first, which makes the exit release them. */
let held: Map<string, string> | null = null;

function hold(path: string, content: string): void {
  if (held === null) {
    held = new Map();
    // An exit does not wait for the work of others, and would leave their lock files.
    process.once('exit', releaseAll);
  }
  held.set(path, content);
}

function releaseAll(): void {
  for (const [path, content] of held ?? []) {
    try {
      if (readFileSync(path, 'utf8') === content) rmSync(path, { force: true });
    } catch {
      // Released already, or taken over together with its directory.
    }
  }
}

/**
 * Runs `work` while no other process, and no other call in this one, holds the lock file `path`. The lock of
 * a dead process is taken over.
 * @throws `conflict` if a living holder keeps it for longer than the options allow, `cancelled`
 */
export async function withFileLock<T>(
  path: string,
  work: () => Promise<T>,
  options: LockOptions = {},
): Promise<T> {
  const before = queues.get(path) ?? Promise.resolve();
  const turn = options.signal === undefined ? before : Promise.race([before, whenAborted(options.signal)]);
  const run = turn.then(async () => {
    const content = JSON.stringify(currentProcess());
    await acquire(path, content, options);
    hold(path, content);
    try {
      return await work();
    } finally {
      await rm(path, { force: true });
      held?.delete(path);
    }
  });
  const settled = run.then(
    () => undefined,
    () => undefined,
  );
  queues.set(path, settled);
  try {
    return await run;
  } finally {
    if (queues.get(path) === settled) queues.delete(path);
  }
}

/** Removes the lock of a killed process; keeps that of a live one. */
export async function releaseDeadLock(path: string): Promise<void> {
  try {
    await withFileLock(path, async () => {}, { waitMs: 0 });
  } catch (error) {
    if (!(error instanceof SandboxError) || error.code !== 'conflict') throw error;
  }
}
