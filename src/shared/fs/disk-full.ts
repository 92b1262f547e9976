import { SandboxError, systemErrorCode } from '../errors.ts';

const CODES = ['ENOSPC', 'EDQUOT'];

/** True for a file system's "no space left" error, also as the cause of another error. */
export function isDiskFull(error: unknown): boolean {
  if (CODES.includes(systemErrorCode(error) ?? '')) return true;
  return error instanceof SandboxError && error.cause !== undefined && isDiskFull(error.cause);
}

/**
 * What to throw for a failed write to the state directory: `limit_exceeded` if its disk is full, else the
 * error itself.
 */
export function diskFullError(error: unknown): unknown {
  if (!isDiskFull(error) || error instanceof SandboxError) return error;
  return new SandboxError('limit_exceeded', 'The disk that holds the sandboxes is full.', {
    hint: 'Call sandbox_stop for a sandbox that you no longer need, or delete files from a sandbox_shell, then call again.',
    cause: error,
  });
}
