import { type ErrorCode, SandboxError, systemErrorCode } from '../../src/shared/errors.ts';

/** What this machine's file system refuses, in words that lead on. */
const FAILURES: Record<string, { code: ErrorCode; problem: string; hint: string } | undefined> = {
  EACCES: { code: 'permission', problem: 'may not be written to', hint: 'Choose another local_path.' },
  EPERM: { code: 'permission', problem: 'may not be written to', hint: 'Choose another local_path.' },
  EROFS: { code: 'permission', problem: 'is read-only', hint: 'Choose another local_path.' },
  ENOTDIR: { code: 'conflict', problem: 'has a file among its parents', hint: 'Choose another local_path.' },
  EEXIST: { code: 'conflict', problem: 'has something else in its way', hint: 'Choose another local_path.' },
  ENAMETOOLONG: { code: 'invalid_argument', problem: 'is too long', hint: 'Choose a shorter local_path.' },
  ENOSPC: {
    code: 'limit_exceeded',
    problem: 'has no room left on its disk',
    hint: 'Bring out less, or free room.',
  },
  EDQUOT: { code: 'limit_exceeded', problem: 'has no room left', hint: 'Bring out less, or free room.' },
};

/** The error of a step on this machine's file system as a caller should see it; any other error as it is. */
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
