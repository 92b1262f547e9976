import { SandboxError } from './errors.ts';

/**
 * The same failure for a call that writes several files, listing those already written; each of them is
 * complete.
 */
export function partialWriteError(error: unknown, written: readonly { path: string }[]): unknown {
  if (!(error instanceof SandboxError) || written.length === 0) return error;
  const message = `${error.message} Written before that: ${written.map(({ path }) => path).join(', ')}.`;
  return new SandboxError(error.code, message, { hint: error.hint, details: error.details, cause: error });
}
