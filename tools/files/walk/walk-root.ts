import { posix } from 'node:path';
import type { SandboxHandle } from '../../../src/registry/types.ts';
import { SandboxError } from '../../../src/shared/errors.ts';

/** The absolute path of an argument; relative ones start at the sandbox's working directory. */
export async function resolveRoot(handle: SandboxHandle, path: string, signal: AbortSignal): Promise<string> {
  const { cwd } = await handle.requireRunning(signal);
  return posix.resolve(cwd, path);
}

/** The error for a path that could not be opened as a directory. */
export async function notListable(
  handle: SandboxHandle,
  path: string,
  signal: AbortSignal,
): Promise<SandboxError> {
  const stat = await handle.files.stat(path, null, signal);
  const shown = JSON.stringify(path);
  if (stat === null) {
    return new SandboxError('not_found', `${shown} does not exist in the sandbox.`, {
      hint: 'Fix path, or leave it out for the cwd of the sandbox.',
      details: { path },
    });
  }
  if (stat.type === 'file') {
    return new SandboxError('invalid_argument', `${shown} is a file, not a directory.`, {
      hint: 'Name its directory, or call sandbox_read_file.',
      details: { path },
    });
  }
  return new SandboxError('permission', `The sandbox's user has no permission to read ${shown}.`, {
    hint: 'Call sandbox_run_command with sudo: true, or name another directory.',
    details: { path },
  });
}

/** A path on one line. */
export function shownPath(path: string): string {
  return /[\p{Cc}\p{Zl}\p{Zp}]/u.test(path) ? JSON.stringify(path) : path;
}
