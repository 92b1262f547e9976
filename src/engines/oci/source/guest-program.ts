/** Programs that fill a new sandbox, run inside it as its ordinary user under its own limits and network policy. */
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
/** A line that only shows how far a transfer is. */
const METER = /^(remote: )?[A-Z][a-z ]+: +\d+% /;

/** A sandbox that is not handed out yet, as those who fill it see it. */
export interface GuestContext {
  readonly sandboxId: string;
  readonly commands: Commands;
  readonly files: Files;
  readonly limits: SourceLimits;
  /** Takes a finished command off the sandbox's list: nobody who gets the sandbox asked for it. */
  discard(commandId: string): Promise<void>;
  /** What the way out refused last, in words; null where it refused nothing. */
  refusal(): Promise<string | null>;
  /** A text without the source's credentials: a server may send back what it got. */
  mask(text: string): string;
  /** Shows a line of progress; null where nobody looks. */
  readonly report: ((line: string) => void) | null;
}

export interface Program {
  cmd: string;
  args: string[];
  env?: Record<string, string>;
  /** What is said of each new line of its output; null for a line that nobody needs to see. */
  progress?: (line: string) => string | null;
}

export interface Outcome {
  exitCode: number;
  endedBy: Command['endedBy'];
  signal: string | null;
  /** Its first 256 KiB. */
  stdout: string;
  /** The last lines of its output on stderr, fit to be shown. */
  stderrLines: string;
}

/** Runs a program to its end; its own overall limit is the fetch's. */
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

/** Shows what the program writes until it ends, where somebody looks. */
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

/** What a program said at last, without escapes and what looks like a credential. */
function lastLines(text: string): string {
  const lines = terminalText(text)
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '' && !METER.test(line));
  return redactText(lines.slice(-MAX_ERROR_LINES).join('\n')).slice(-MAX_ERROR_CHARACTERS);
}

/** What a program that is not there makes of a source. */
export function missingProgram(names: string, instead: string): SandboxError {
  return new SandboxError(
    'unsupported',
    `The source cannot be fetched: there is no ${names} in the sandbox.`,
    {
      hint: `Ask the operator to install ${names} on this machine, or ${instead}.`,
      details: { missing: names },
    },
  );
}

/** The limit of the sandbox that was met while it was filled. */
export function outOfMemory(): SandboxError {
  return new SandboxError('limit_exceeded', 'The sandbox ran out of memory while its source was fetched.', {
    hint: 'Call sandbox_create with more resources.vcpus, which bring more memory, or a smaller source.',
  });
}

/** True where the shell or the agent found no such program. */
export function isMissing(outcome: Outcome): boolean {
  return outcome.exitCode === 127;
}
