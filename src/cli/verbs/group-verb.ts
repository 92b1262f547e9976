/** What verbs whose errors a person can fix share. */
import { ConfigError } from '../../config/setting.ts';
import { SandboxError } from '../../shared/errors.ts';

const MEGABYTE = 1_024 ** 2;

/** Such as `12.3 MB`. */
export function formatBytes(bytes: number): string {
  return `${(bytes / MEGABYTE).toFixed(1)} MB`;
}

/** Ctrl-C undoes what has been done so far; a second one exits at once. */
export async function untilInterrupted<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interrupted = new AbortController();
  const interrupt = () => interrupted.abort();
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, interrupt);
  try {
    return await work(interrupted.signal);
  } finally {
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.off(name, interrupt);
  }
}

/** The person can fix the errors of these verbs, following the error's own hint. */
export async function withOwnHints(work: () => Promise<number>): Promise<number> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof SandboxError) || error instanceof ConfigError) throw error;
    throw new SandboxError('unavailable', error.message, { hint: error.hint, cause: error });
  }
}
