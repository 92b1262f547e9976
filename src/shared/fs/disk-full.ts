import { SandboxError, systemErrorCode } from '../errors.ts';

const CODES = ['ENOSPC', 'EDQUOT'];

/** True for the answer of a file system that has no room left, also as the cause of what was made of it. */
export function isDiskFull(error: unknown): boolean {
  if (CODES.includes(systemErrorCode(error) ?? '')) return true;
  return error instanceof SandboxError && error.cause !== undefined && isDiskFull(error.cause);
}

/** What to throw for an error of a write to the state directory: `limit_exceeded` where its disk is full, else the error. */
export function diskFullError(error: unknown): unknown {
  if (!isDiskFull(error) || error instanceof SandboxError) return error;
  return new SandboxError('limit_exceeded', 'The disk that holds the sandboxes is full.', {
    hint: 'Call sandbox_stop for a sandbox that is not needed, or remove files from a sandbox_shell, then call again.',
    cause: error,
  });
}
