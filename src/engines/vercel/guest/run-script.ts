/** Runs small scripts in the sandbox for operations that the platform has no call for. */
import type { Session } from '@vercel/sandbox';
import { SandboxError } from '../../../shared/errors.ts';

export interface ScriptResult {
  exitCode: number;
  stdout: string;
  stderr: string;
}

/** Messages that come from the shell itself, not from a script, with these exit codes. */
const SHELL_IS_MISSING = 127;

/**
 * Runs a bash script with arguments, available as `$1` and on; they are never part of the script text. Started once; a
 * lost response is a failure.
 *
 * @param timeoutMs after which the platform kills it
 * @throws SandboxError `unsupported` if the image has no bash or coreutils; what the SDK throws
 */
export async function runScript(
  session: Session,
  script: string,
  args: string[],
  { signal, sudo = false, timeoutMs = 60_000 }: { signal: AbortSignal; sudo?: boolean; timeoutMs?: number },
): Promise<ScriptResult> {
  const finished = await session.runCommand({
    cmd: 'bash',
    args: ['-c', script, 'sandbox-mcp', ...args],
    env: { LC_ALL: 'C' },
    sudo,
    timeoutMs,
    signal,
  });
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
