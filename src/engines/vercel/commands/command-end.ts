/** Why a command ended. */
import type { Sandbox } from '../../engine.ts';
import type { CommandEnd, CommandRecord } from '../state/command-record.ts';
import type { PlatformExit } from './command-stream.ts';

/** 128 + SIGKILL. */
const KILLED_EXIT_CODE = 137;

/** What ended a command that reported its exit code itself. */
export function endedBy(record: CommandRecord, exit: PlatformExit): CommandEnd['endedBy'] {
  const { killedFor, timeoutMs } = record;
  if (killedFor === 'timeout') return 'timeout';
  // No program exits with a negative code: it stands for a signal reported without its number.
  if (killedFor !== null && (exit.exitCode > 128 || exit.exitCode < 0)) return killedFor;
  const isKilled = exit.exitCode === KILLED_EXIT_CODE || exit.exitCode < 0;
  const byPlatform = isKilled && timeoutMs !== null && exit.durationMs >= timeoutMs;
  return byPlatform ? 'timeout' : 'exit';
}

/** The end of a command that ended with its sandbox. */
export function sandboxEndOf(record: CommandRecord, sandbox: Sandbox | null) {
  const byCause = { session_end: 'session_end', out_of_memory: 'out_of_memory' } as const;
  const cause = sandbox?.stopCause;
  return {
    exitCode: KILLED_EXIT_CODE,
    durationMs: Math.max(0, Date.now() - record.startedAt),
    endedBy:
      cause === 'session_end' || cause === 'out_of_memory' ? byCause[cause] : ('sandbox_stopped' as const),
  };
}
