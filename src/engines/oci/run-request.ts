import { posix } from 'node:path';
import { SandboxError } from '../../shared/errors.ts';
import type { StartCommand } from '../engine.ts';
import { processLimit } from './boot.ts';
import { encodeFields, type FieldValue, MAX_BODY, TAG } from './frames.ts';
import type { SandboxRecord } from './sandbox-record.ts';
import { SANDBOX_CWD } from './sandbox-view.ts';

/** Between SIGTERM and SIGKILL of a command that is out of time. */
const TIMEOUT_GRACE_MS = 5_000;
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** An absolute path from one that may be relative to `cwd`, itself relative to the sandbox's own. */
export function absolutePath(path: string, cwd: string | null): string {
  return posix.resolve(SANDBOX_CWD, cwd ?? '', path);
}

/** What a command finds in its environment: who it runs as, then the sandbox's own, then its own. */
function environment(sandbox: SandboxRecord, request: StartCommand): Record<string, string> {
  const user = request.sudo
    ? { HOME: '/root', USER: 'root', LOGNAME: 'root' }
    : { HOME: '/home/vercel-sandbox', USER: 'vercel-sandbox', LOGNAME: 'vercel-sandbox' };
  return { PATH, SHELL: '/bin/bash', LANG: 'C.UTF-8', ...user, ...sandbox.env, ...request.env };
}

/** @throws `invalid_argument` where program, arguments and environment together are more than a frame holds */
export function encodeRun(sandbox: SandboxRecord, request: StartCommand, cwd: string): Buffer {
  const fields: [number, FieldValue][] = [
    [TAG.id, request.commandId],
    ...[request.cmd, ...request.args].map((argument): [number, FieldValue] => [TAG.argv, argument]),
    ...Object.entries(environment(sandbox, request)).map(([name, value]): [number, FieldValue] => [
      TAG.env,
      `${name}=${value}`,
    ]),
    [TAG.cwd, cwd],
    [TAG.sudo, request.sudo ? 1 : 0],
    [TAG.timeoutMs, request.timeoutMs ?? 0],
    [TAG.graceMs, TIMEOUT_GRACE_MS],
    // Where a cgroup counts the sandbox's processes, a limit by user would only be in the way.
    [TAG.nproc, sandbox.enforced.pids ? 0 : processLimit(sandbox.vcpus)],
  ];
  const body = encodeFields(fields);
  if (body.length > MAX_BODY) {
    throw new SandboxError('invalid_argument', `Arguments and environment take ${body.length} bytes.`, {
      hint: `At most ${MAX_BODY} fit; write large input to a file with sandbox_write_files and pass its path.`,
    });
  }
  return body;
}
