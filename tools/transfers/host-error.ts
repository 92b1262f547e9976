import { type ErrorCode, SandboxError, systemErrorCode } from '../../src/shared/errors.ts';

/** Errors of the host's file system, with the next step. */
const FAILURES: Record<string, { code: ErrorCode; problem: string; hint: string } | undefined> = {
  EACCES: { code: 'permission', problem: 'is not writable', hint: 'Choose another local_path.' },
  EPERM: { code: 'permission', problem: 'is not writable', hint: 'Choose another local_path.' },
  EROFS: { code: 'permission', problem: 'is read-only', hint: 'Choose another local_path.' },
  ENOTDIR: { code: 'conflict', problem: 'has a file as a parent', hint: 'Choose another local_path.' },
  EEXIST: { code: 'conflict', problem: 'already exists', hint: 'Choose another local_path.' },
  ENAMETOOLONG: { code: 'invalid_argument', problem: 'is too long', hint: 'Choose a shorter local_path.' },
  ENOSPC: {
    code: 'limit_exceeded',
    problem: 'is on a full disk',
    hint: 'Download less, or free disk space.',
  },
  EDQUOT: {
    code: 'limit_exceeded',
    problem: 'is over its disk quota',
    hint: 'Download less, or free disk space.',
  },
};

/** A file system error of the host as the caller should see it; any other error unchanged. */
export function hostError(localPath: string, error: unknown): unknown {
  if (error instanceof SandboxError) return error;
  const failure = FAILURES[systemErrorCode(error) ?? ''];
  if (failure === undefined) return error;
  return new SandboxError(failure.code, `local_path ${JSON.stringify(localPath)} ${failure.problem}.`, {
    hint: failure.hint,
    details: { local_path: localPath },
    cause: error,
  });
}
