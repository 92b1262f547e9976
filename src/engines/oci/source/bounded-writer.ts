import { SandboxError } from '../../../shared/errors.ts';
import type { Outcome, Program } from './guest-program.ts';

/** The unit of `ulimit -f` in POSIX. */
const UNIT = 512;

/** A constant script; everything variable is an argument. */
const SCRIPT = 'ulimit -f "$1" && out=$2 && shift 2 && exec "$@" >"$out"';

/** Redirects a program's standard output to a file and limits its file size to `maxBytes`. */
export function boundedWriter(maxBytes: number, output: string, cmd: string, ...args: string[]): Program {
  const units = String(Math.ceil(maxBytes / UNIT));
  return { cmd: '/bin/sh', args: ['-c', SCRIPT, 'sh', units, output, cmd, ...args], env: { LC_ALL: 'C' } };
}

/** The error for a program that failed because the disk is full, else null. */
export function noSpace(url: string, outcome: Outcome): SandboxError | null {
  // curl's exit code for a write error.
  const curlWrite = /^curl: \(23\)/m.test(outcome.stderrLines);
  if (!curlWrite && !/No space left|Disk quota exceeded|ENOSPC/i.test(outcome.stderrLines)) return null;
  return new SandboxError('limit_exceeded', `Not enough disk space for ${url}.`, {
    hint: 'Free space on the disk of the state directory, or use a smaller tarball.',
    details: { url },
  });
}
