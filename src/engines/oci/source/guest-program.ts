/**
 * Runs the programs that populate a new sandbox, inside it, as its ordinary user, under its limits and
 * network policy.
 */
import { SandboxError } from '../../../shared/errors.ts';
import { newCommandId } from '../../../shared/ids.ts';
import { redactText } from '../../../shared/redact.ts';
import { lastVisibleLine, terminalText } from '../../../shared/text/terminal-text.ts';
import { decodeUtf8 } from '../../../shared/text/utf8.ts';
import type { Command, Commands, Files } from '../../engine.ts';
import type { SourceLimits } from './source-limits.ts';

const MAX_STDOUT_BYTES = 262_144;
const TAIL_BYTES = 4_096;
const MAX_ERROR_LINES = 6;
const MAX_ERROR_CHARACTERS = 1_500;
/** A progress line of a transfer. */
const METER = /^(remote: )?[A-Z][a-z ]+: +\d+% /;

/** A pending sandbox, for the code that populates it. */
export interface GuestContext {
  readonly sandboxId: string;
  readonly commands: Commands;
  readonly files: Files;
  readonly limits: SourceLimits;
  /** Removes a finished command from the sandbox's list: its caller did not start it. */
  discard(commandId: string): Promise<void>;
  /** Describes what the egress gateway refused last; null if nothing. */
  refusal(): Promise<string | null>;
  /** Removes the source's credentials from a text: a server may echo them. */
  mask(text: string): string;
  /** Reports a line of progress; null without a reporter. */
  readonly report: ((line: string) => void) | null;
}

export interface Program {
  cmd: string;
  args: string[];
  env?: Record<string, string>;
  /** Converts a line of output to a progress line; null to skip it. */
  progress?: (line: string) => string | null;
}

export interface Outcome {
  exitCode: number;
  endedBy: Command['endedBy'];
  signal: string | null;
  /** Its first 256 KiB. */
  stdout: string;
  /** The last lines of stderr, sanitized. */
  stderrLines: string;
}

/** Runs a program to completion, within the time limit of a fetch. */
export async function runInGuest(
  inside: GuestContext,
  program: Program,
  signal: AbortSignal,
): Promise<Outcome> {
  const { commands, sandboxId } = inside;
  const commandId = newCommandId(sandboxId);
  const { cmd, args, env = {} } = program;
  const timeoutMs = inside.limits.limitMs;
  await commands.start({ commandId, sandboxId, cmd, args, cwd: null, env, sudo: false, timeoutMs }, signal);
  await follow(inside, commandId, program, signal);
  const command = await commands.wait(commandId, signal);
  const read = async (stream: 'stdout' | 'stderr', offset: number, limit: number): Promise<string> => {
    const { chunks } = await commands.readOutput(commandId, { stream, offset, limit }, signal);
    return decodeUtf8(Buffer.concat(chunks.map(({ data }) => data)));
  };
  const stdout = await read('stdout', 0, MAX_STDOUT_BYTES);
  const said = inside.mask(lastLines(await read('stderr', -TAIL_BYTES, TAIL_BYTES)));
  await inside.discard(commandId);
  if (command.endedBy === 'out_of_memory') throw outOfMemory();
  return {
    exitCode: command.exitCode ?? 1,
    endedBy: command.endedBy,
    signal: command.signal,
    stdout,
    stderrLines: said,
  };
}

/** Reports the program's output until it ends, if there is a reporter. */
async function follow(
  { commands, report, mask }: GuestContext,
  commandId: string,
  { progress }: Program,
  signal: AbortSignal,
): Promise<void> {
  if (report === null || progress === undefined) return;
  for (let seen = 0; ; ) {
    const command = await commands.waitForOutput(commandId, seen, signal);
    if (command.status === 'finished') return;
    seen = command.stdoutBytes + command.stderrBytes;
    const { chunks } = await commands.readOutput(
      commandId,
      { stream: 'stderr', offset: -TAIL_BYTES, limit: TAIL_BYTES },
      signal,
    );
    const line = lastVisibleLine(decodeUtf8(Buffer.concat(chunks.map(({ data }) => data))));
    const shown = line === null ? null : progress(line);
    if (shown !== null) report(redactText(mask(shown)));
  }
}

/** A program's last output lines, without escape sequences and credentials. */
function lastLines(text: string): string {
  const lines = terminalText(text)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !METER.test(line));
  return redactText(lines.slice(-MAX_ERROR_LINES).join('\n')).slice(-MAX_ERROR_CHARACTERS);
}

/** The error for a source that needs a program the sandbox does not have. */
export function missingProgram(names: string, instead: string): SandboxError {
  return new SandboxError('unsupported', `Cannot fetch the source: the sandbox has no ${names}.`, {
    hint: `Ask the operator to install ${names} on this machine, or ${instead}.`,
    details: { missing: names },
  });
}

/** The error for a sandbox that ran out of memory while being populated. */
export function outOfMemory(): SandboxError {
  return new SandboxError('limit_exceeded', 'The sandbox ran out of memory while its source was fetched.', {
    hint: 'Call sandbox_create with more resources.vcpus, which also adds memory, or use a smaller source.',
  });
}

/** True if the shell or the agent found no such program. */
export function isMissing(outcome: Outcome): boolean {
  return outcome.exitCode === 127;
}
