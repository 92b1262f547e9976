import { z } from 'zod';
import type { Listener } from '../../src/engines/engine.ts';
import type { CommandHandle, LogCursor, SandboxHandle } from '../../src/registry/types.ts';
import { sleep, withTimeout } from '../../src/shared/async/with-timeout.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { linearPattern } from '../../src/shared/text/linear-pattern.ts';
import { boundedWaitMs, DEFAULT_WAIT_MS, port } from '../common/schemas.ts';

/** No engine reports a new listener: they are read again after a pause that grows. */
const FIRST_PAUSE_MS = 50;
const MAX_PAUSE_MS = 1_000;

/** What a server does when it is ready: listen on a port, or write a line that matches an RE2 pattern. */
export const waitFor = z
  .strictObject({
    port: port.optional(),
    log: z.string().min(1).optional(),
    timeout_ms: boundedWaitMs.default(DEFAULT_WAIT_MS),
  })
  .refine((value) => (value.port === undefined) !== (value.log === undefined), 'either port or log');

export type WaitFor = z.output<typeof waitFor>;

export type Readiness =
  | { matches: (text: string) => boolean }
  | {
      port: number;
      /** What listened before the command was started; null for nothing. */
      earlier: Listener | null;
    };

/**
 * Checks a condition before anything is started.
 *
 * @throws `invalid_argument` for a pattern that RE2 does not accept, `unsupported` for a port of an engine that does
 *   not see ports
 */
export async function readinessOf(
  { port, log }: WaitFor,
  sandbox: SandboxHandle,
  signal: AbortSignal,
): Promise<Readiness> {
  if (port === undefined) return { matches: linearPattern(log ?? '', 'wait_for.log') };
  await sandbox.requireRunning(signal);
  return { port, earlier: await listenerOn(sandbox, port, signal) };
}

/** Why a command may never become ready. Null if nothing is known. */
export function obstacleTo(readiness: Readiness): string | null {
  if ('matches' in readiness || readiness.earlier === null) return null;
  const { port, pid, program } = readiness.earlier;
  return `Before it started, ${program ?? 'a program'} (pid ${pid ?? 'unknown'}) listened on port ${port}`;
}

/** Whether the command became ready in time; false also if it ended before. */
export async function waitUntilReady(
  handle: CommandHandle,
  readiness: Readiness,
  timeoutMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const ready = await withTimeout(timeoutMs, signal, (limited) =>
    'matches' in readiness
      ? untilLogged(handle, readiness.matches, timeoutMs, limited)
      : untilListening(handle, readiness, limited),
  );
  return ready === true;
}

async function untilListening(
  handle: CommandHandle,
  { port, earlier }: Extract<Readiness, { port: number }>,
  signal: AbortSignal,
): Promise<boolean> {
  let present = earlier;
  for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(2 * pause, MAX_PAUSE_MS)) {
    // Asked first: a program may leave a server behind and end.
    const { status } = await handle.get(signal);
    const listener = await listenerOn(handle.sandbox, port, signal);
    // A server from before is not this one, which may be about to fail because of it.
    if (listener !== null && (present === null || listener.pid !== present.pid)) return true;
    // Once it has gone, the next one is new, also where processes cannot be told apart: those of root have no pid.
    if (listener === null) present = null;
    if (status === 'finished') return false;
    await withTimeout(pause, signal, (limited) => handle.wait(limited));
  }
}

async function listenerOn(
  sandbox: Pick<SandboxHandle, 'listeners'>,
  port: number,
  signal: AbortSignal,
): Promise<Listener | null> {
  const listeners = await sandbox.listeners(signal);
  if (listeners === null) throw noListeners();
  return listeners.find((listener) => listener.port === port) ?? null;
}

async function untilLogged(
  handle: CommandHandle,
  matches: (text: string) => boolean,
  waitMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  let cursor: LogCursor | null = null;
  for (;;) {
    const request = { cursor, limit: 1, stream: 'both', context: 0, matches, waitMs } as const;
    const page = await handle.logs(request, signal);
    if (page.lines.length > 0) return true;
    if (page.done || page.leftBehind) return false;
    cursor = page.cursor;
    // A page without a match that could be searched further is no reason to spin.
    await sleep(0, signal);
  }
}

function noListeners(): SandboxError {
  return new SandboxError('unsupported', 'This engine cannot tell which ports a program listens on.', {
    hint: 'Nothing was started. Pass wait_for with log instead of port.',
  });
}
