/** Runs small scripts in the sandbox for operations that the platform has no call for. */
import { Writable } from 'node:stream';
import type { Session } from '@vercel/sandbox';
import { anySignal } from '../../../shared/async/any-signal.ts';
import { SandboxError } from '../../../shared/errors.ts';

export interface ScriptResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Messages that come from the shell itself, not from a script, with these exit codes. */
const SHELL_IS_MISSING = 127;

export interface ScriptOptions {
  readonly signal: AbortSignal;
  readonly sudo?: boolean;
  /** After which the platform kills it. */
  readonly timeoutMs?: number;
  /** How long it may write nothing before it is given up; null for no limit. */
  readonly silentMs?: number | null;
}

/**
 * Runs a bash script with arguments, available as `$1` and on; they are never part of the script text.
 * Started once; a lost response is a failure.
 *
 * @throws SandboxError `unsupported` where the image has no bash or coreutils, `timeout` after `silentMs`;
 *   what the SDK throws
 */
export async function runScript(
  session: Session,
  script: string,
  args: string[],
  { signal, sudo = false, timeoutMs = 60_000, silentMs = null }: ScriptOptions,
): Promise<ScriptResult> {
  const watch = silentMs === null ? null : watchOutput(silentMs);
  const params = { cmd: 'bash', args: ['-c', script, 'sandbox-mcp', ...args], env: { LC_ALL: 'C' } };
  let finished: Awaited<ReturnType<typeof session.runCommand>>;
  try {
    finished = await session.runCommand({
      ...params,
      sudo,
      timeoutMs,
      signal: watch === null ? signal : anySignal([signal, watch.signal]),
      ...(watch !== null && { stdout: watch.output }),
    });
  } catch (error) {
    if (silentMs !== null && watch?.signal.aborted && !signal.aborted) throw stalled(silentMs);
    throw error;
  } finally {
    watch?.end();
  }
  const [stdout, stderr] = [await finished.stdout(), await finished.stderr()];
  if (finished.exitCode === SHELL_IS_MISSING) {
    throw new SandboxError(
      'unsupported',
      `The sandbox's image lacks a required program: ${stderr.trim().slice(0, 200)}`,
      {
        hint: 'File operations and signals need bash and coreutils in the image; create a sandbox with another runtime.',
      },
    );
  }
  return { exitCode: finished.exitCode, stdout, stderr };
}

/** A sink for output, and a signal that fires after a silence. */
function watchOutput(silentMs: number) {
  const silence = new AbortController();
  let timer = setTimeout(() => silence.abort(), silentMs);
  const output = new Writable({
    write(_chunk, _encoding, done) {
      clearTimeout(timer);
      timer = setTimeout(() => silence.abort(), silentMs);
      done();
    },
  });
  return { output, signal: silence.signal, end: () => clearTimeout(timer) };
}

function stalled(silentMs: number): SandboxError {
  return new SandboxError('timeout', `The sandbox made no progress for ${silentMs / 1_000} s.`, {
    hint: 'Call again; sandbox_run_command (cmd: "ps", args: ["aux"]) shows what keeps the sandbox busy.',
  });
}
