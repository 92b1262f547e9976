/** The contract's view of a command. */
import { nameOfSignal } from '../../../shared/signals.ts';
import type { Command } from '../../engine.ts';
import type { Totals } from '../../output-log/log-format.ts';
import type { CommandEnd, CommandRecord } from '../state/command-record.ts';

/** Signals that end a program; an exit code above 128 that corresponds to any other is the program's own. */
const LAST_ENDING_SIGNAL = 31;

/**
 * The signal that an exit code of 128 + n stands for, as in shells; the platform reports it in no other way.
 */
export function signalOf(exitCode: number): string | null {
  const number = exitCode - 128;
  return number >= 1 && number <= LAST_ENDING_SIGNAL ? nameOfSignal(number) : null;
}

/** A running command; `totals` counts its captured output so far. */
export function runningView(record: CommandRecord, sandboxId: string, totals: Totals): Command {
  const { commandId, cmd, args, cwd, startedAt } = record;
  return {
    commandId,
    sandboxId,
    cmd,
    args,
    cwd,
    status: 'running',
    exitCode: null,
    signal: null,
    endedBy: null,
    startedAt,
    durationMs: Math.max(0, Date.now() - startedAt),
    stdoutBytes: totals.stdout,
    stderrBytes: totals.stderr,
  };
}

/** A command whose end is stored. */
export function finishedView(record: CommandRecord, sandboxId: string, end: CommandEnd): Command {
  return {
    ...runningView(record, sandboxId, { stdout: end.stdoutBytes, stderr: end.stderrBytes }),
    status: 'finished',
    exitCode: end.exitCode,
    signal: signalOf(end.exitCode),
    endedBy: end.endedBy,
    durationMs: end.durationMs,
  };
}
