import { SandboxError } from '../../../shared/errors.ts';
import type { Outcome, Program } from './guest-program.ts';

/** What POSIX counts the limit of `ulimit -f` in. */
const UNIT = 512;

/** A constant script: everything that varies is an argument. */
const SCRIPT = 'ulimit -f "$1" && out=$2 && shift 2 && exec "$@" >"$out"';

/** A program whose standard output goes to a file, and that may write no file above `maxBytes`. */
export function boundedWriter(maxBytes: number, output: string, cmd: string, ...args: string[]): Program {
  const units = String(Math.ceil(maxBytes / UNIT));
  return { cmd: '/bin/sh', args: ['-c', SCRIPT, 'sh', units, output, cmd, ...args], env: { LC_ALL: 'C' } };
}

/** The error of a program that met a full disk; null where it met something else. */
export function noSpace(url: string, outcome: Outcome): SandboxError | null {
  // curl's own code for a file that it cannot write.
  const curlWrite = /^curl: \(23\)/m.test(outcome.stderrLines);
  if (!curlWrite && !/No space left|Disk quota exceeded|ENOSPC/i.test(outcome.stderrLines)) return null;
  return new SandboxError('limit_exceeded', `${url} does not fit on the disk that is left.`, {
    hint: 'Free space on the disk of the state directory, or give a smaller tarball.',
    details: { url },
  });
}
