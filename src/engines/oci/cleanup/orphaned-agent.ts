/**
 * Finds the agent that an interrupted create left running, from the files the runtime had written by then.
 */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import { systemErrorCode } from '../../../shared/errors.ts';
import { identify, type ProcessIdentity } from '../../../shared/process-identity.ts';
import { AgentConnection, AgentDisconnectedError } from '../protocol/agent-connection.ts';
import { FRAME } from '../protocol/frames.ts';
import type { SandboxPaths } from '../state/state-layout.ts';

/** After its server died, the launcher kills everything it started, unless the container is complete. */
const LAUNCH_END_TIMEOUT_MS = 60_000;
/** If the launcher was killed too, a container that had started answers within this time or is dying. */
const START_GRACE_MS = 1_000;
const ANSWER_TIMEOUT_MS = 60_000;

/** The container's first process in the state files of crun (`status`) and runc (`state.json`). */
const stateSchema = z.union([
  z.object({ pid: z.number(), 'process-start-time': z.number() }).transform((state) => ({
    pid: state.pid,
    startTime: String(state['process-start-time']),
  })),
  z.object({ init_process_pid: z.number(), init_process_start: z.number() }).transform((state) => ({
    pid: state.init_process_pid,
    startTime: String(state.init_process_start),
  })),
]);

async function readOrNull(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ESRCH' || code === 'ENOTDIR') return null;
    throw error;
  }
}

/** From the pid file, which the runtime writes last; the pid may have been reused. */
async function fromPidFile(pidFile: string): Promise<ProcessIdentity | null> {
  const pid = Number((await readOrNull(pidFile))?.trim());
  const command = await readOrNull(`/proc/${pid}/cmdline`);
  // The agent recognizably starts as `/.agent init`.
  return command?.startsWith('/.agent\0init\0') ? identify(pid) : null;
}

/** From the runtime's own state, which is written earlier and whose start time detects a reused pid. */
async function fromRuntimeState(paths: SandboxPaths, id: string): Promise<ProcessIdentity | null> {
  for (const name of ['status', 'state.json']) {
    const text = await readOrNull(join(paths.runtime, id, name));
    if (text === null) continue;
    try {
      const state = stateSchema.parse(JSON.parse(text));
      const found = identify(state.pid);
      if (found?.startTime === state.startTime) return found;
    } catch {
      // Truncated when the runtime died: the other lookups find the process.
    }
  }
  return null;
}

/** The first process of a container whose start was interrupted; null if no file names a running one. */
export async function findOrphanedInit(paths: SandboxPaths, id: string): Promise<ProcessIdentity | null> {
  return (await fromPidFile(paths.pidFile)) ?? (await fromRuntimeState(paths, id));
}

/**
 * Resolves once no launcher of this sandbox is running: an interrupted start is then either cleaned up or
 * complete. Resolves after a minute in any case.
 */
export async function untilLaunchEnded(paths: SandboxPaths): Promise<void> {
  const deadline = performance.now() + LAUNCH_END_TIMEOUT_MS;
  for (let pause = 2; await isLaunching(paths); pause = Math.min(2 * pause, 100)) {
    if (performance.now() > deadline) return;
    await delay(pause);
  }
}

async function isLaunching({ bundle }: SandboxPaths): Promise<boolean> {
  const pids = (await readdir('/proc')).filter((name) => /^[0-9]+$/.test(name));
  // An unreadable process belongs to another user, so it is not a launcher of this sandbox.
  const lines = await Promise.all(pids.map((pid) => readOrNull(`/proc/${pid}/cmdline`).catch(() => null)));
  return lines.some((line) => {
    const argv = line?.split('\0') ?? [];
    return argv.includes('launch') && argv.includes(bundle);
  });
}

async function wasStarted(paths: SandboxPaths): Promise<boolean> {
  try {
    return (await readdir(paths.runtime)).length > 0;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}

/**
 * Asks an agent that no file names to shut its sandbox down; resolves once its connection has closed. The
 * runtime may have died just before the agent listens, so a start that had begun gets a second to appear.
 */
export async function shutDownOrphanedAgent(paths: SandboxPaths): Promise<void> {
  const deadline = performance.now() + START_GRACE_MS;
  for (;;) {
    try {
      const connection = await AgentConnection.open(
        paths.agentSocket,
        AbortSignal.timeout(ANSWER_TIMEOUT_MS),
      );
      try {
        await connection.request(FRAME.SHUTDOWN);
        while ((await connection.next()) !== null);
      } finally {
        connection.close();
      }
      return;
    } catch (error) {
      if (!(error instanceof AgentDisconnectedError)) throw error;
    }
    if (performance.now() > deadline || !(await wasStarted(paths))) return;
    await delay(10);
  }
}
