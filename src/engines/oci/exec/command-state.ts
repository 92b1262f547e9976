/** A command's state, from its exit file, its supervisor and the end of its sandbox. */

import { readUntrusted } from '../../../shared/fs/untrusted-file.ts';
import { nameOfSignal } from '../../../shared/signals.ts';
import type { Command, EndedBy, StopCause } from '../../engine.ts';
import { outOfMemoryKills } from '../host/cgroups.ts';
import { Fields, TAG } from '../protocol/frames.ts';
import type { CommandPaths, CommandRecord } from '../state/command-record.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';

const MAX_EXIT_FILE = 1_024;
const SIGKILL = 9;
/** Values of the protocol's `cause` field. */
const CAUSES: Record<number, EndedBy> = {
  0: 'exit',
  1: 'killed',
  2: 'cancelled',
  3: 'session_end',
  4: 'timeout',
};

/** A command's end as the agent recorded it. */
export interface Exit {
  exitCode: number;
  signal: number;
  endedBy: EndedBy;
  durationMs: number;
  stdoutBytes: number;
  stderrBytes: number;
}

/** Reads the fields of an exit file or an `EXIT` frame. */
export function parseExit(body: Buffer): Exit {
  const fields = new Fields(body);
  return {
    exitCode: fields.number(TAG.exitCode),
    signal: fields.number(TAG.exitSignal),
    endedBy: CAUSES[fields.number(TAG.exitCause)] ?? 'exit',
    durationMs: fields.number(TAG.durationMs),
    stdoutBytes: fields.number(TAG.exitStdoutBytes),
    stderrBytes: fields.number(TAG.exitStderrBytes),
  };
}

/** Null while there is no exit file. */
export async function readExit(paths: CommandPaths): Promise<Exit | null> {
  const body = await readUntrusted(paths.exitFile, MAX_EXIT_FILE);
  return body === null ? null : parseExit(body);
}

/** The signal that ended a command, null for 0; real-time signals by number. */
export function endingSignal(number: number): string | null {
  return number === 0 ? null : (nameOfSignal(number) ?? `SIG${number}`);
}

/** Killed by SIGKILL without a request to do so. */
function wasKilled(exit: Exit): boolean {
  const killed = exit.signal === SIGKILL || exit.exitCode === 128 + SIGKILL;
  return exit.endedBy === 'exit' && killed;
}

function base(command: CommandRecord, sandboxId: string) {
  const { commandId, cmd, args, cwd, startedAt } = command;
  return { commandId, sandboxId, cmd, args, cwd, startedAt };
}

/**
 * A command whose end the agent has recorded. `isNow`: it ended just now, so an out-of-memory kill in its
 * sandbox counts as its own; later it may have hit something that ran afterwards.
 */
export function finishedCommand(
  command: CommandRecord,
  sandbox: SandboxRecord,
  exit: Exit,
  isNow: boolean,
): Command {
  const noted = command.ranOutOfMemory === true;
  const kernelKilled = noted || outOfMemoryKills(sandbox.cgroups) > command.outOfMemoryKills;
  return {
    ...base(command, sandbox.sandboxId),
    status: 'finished',
    exitCode: exit.exitCode,
    signal: endingSignal(exit.signal),
    endedBy: kernelKilled && wasKilled(exit) ? 'out_of_memory' : exit.endedBy,
    durationMs: exit.durationMs,
    stdoutBytes: exit.stdoutBytes,
    stderrBytes: exit.stderrBytes,
    ranOutOfMemory: noted || (kernelKilled && (isNow || wasKilled(exit))),
  };
}

export interface OutputTotals {
  stdout: number;
  stderr: number;
}

/** A running command. */
export function runningCommand(command: CommandRecord, sandboxId: string, totals: OutputTotals): Command {
  return {
    ...base(command, sandboxId),
    status: 'running',
    exitCode: null,
    signal: null,
    endedBy: null,
    durationMs: Math.max(0, Date.now() - command.startedAt),
    stdoutBytes: totals.stdout,
    stderrBytes: totals.stderr,
  };
}

const ENDED_WITH: Partial<Record<StopCause, EndedBy>> = {
  session_end: 'session_end',
  out_of_memory: 'out_of_memory',
};

/** A command whose sandbox ended first, or whose supervisor was killed inside. */
export function commandOfEndedSandbox(
  command: CommandRecord,
  sandbox: SandboxRecord,
  totals: OutputTotals,
): Command {
  const endedAt = sandbox.endedAt ?? Date.now();
  const endedBy =
    sandbox.endedAt === null ? 'killed' : (ENDED_WITH[sandbox.stopCause ?? 'aborted'] ?? 'sandbox_stopped');
  return {
    ...base(command, sandbox.sandboxId),
    status: 'finished',
    exitCode: 128 + SIGKILL,
    signal: 'SIGKILL',
    endedBy,
    durationMs: Math.max(0, endedAt - command.startedAt),
    stdoutBytes: totals.stdout,
    stderrBytes: totals.stderr,
  };
}
