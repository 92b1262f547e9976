import type { KillCause } from '../../src/engines/engine.ts';
import type { CommandHandle } from '../../src/registry/types.ts';
import { SessionEnded, SessionMoved } from '../../src/shared/session-ended.ts';

/** A kill that takes longer has failed; only ending the sandbox is left then. */
const KILL_LIMIT_MS = 10_000;

/**
 * Runs `work`. If the caller cancels the call meanwhile, the command and all its descendants are killed
 * first. One of a session that another replica has taken over continues.
 */
export async function killOnCancel<Result>(
  handle: CommandHandle,
  signal: AbortSignal,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (signal.aborted && !(signal.reason instanceof SessionMoved)) {
      await handle.kill('SIGKILL', causeOf(signal), AbortSignal.timeout(KILL_LIMIT_MS));
    }
    throw error;
  }
}

function causeOf(signal: AbortSignal): KillCause {
  return signal.reason instanceof SessionEnded ? 'session_end' : 'cancelled';
}
