import { SandboxError, systemErrorCode } from '../errors.ts';

const CODES = ['ENOSPC', 'EDQUOT'];
/** What programs print for these codes. */
const WORDS = ['No space left on device', 'Disk quota exceeded'];

/** True for a file system's "no space left" error, also as the cause of another error. */
export function isDiskFull(error: unknown): boolean {
  if (CODES.includes(systemErrorCode(error) ?? '')) return true;
  return error instanceof SandboxError && error.cause !== undefined && isDiskFull(error.cause);
}

/** The same for a step that runs programs, whose message ends in the error. */
export function isDiskFullInProgram(error: unknown): boolean {
  return isDiskFull(error) || WORDS.some((words) => error instanceof Error && error.message.includes(words));
}

/**
 * What to throw for a failed write to the state directory: `limit_exceeded` if its disk is full, else the
 * error itself.
 */
export function diskFullError(error: unknown): unknown {
  return isDiskFull(error) && !(error instanceof SandboxError) ? diskIsFull(error) : error;
}

export function diskIsFull(cause: unknown): SandboxError {
  return new SandboxError('limit_exceeded', 'The disk that holds the sandboxes is full.', {
    hint: 'Call sandbox_stop for a sandbox that you no longer need, or delete files from a sandbox_shell, then call again.',
    cause,
  });
}
