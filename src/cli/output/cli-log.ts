import type { Logger } from '../../shared/log.ts';

/** A problem with a file of the state directory. */
export interface FileProblem {
  readonly message: string;
  readonly file: string;
  readonly cause: unknown;
}

/**
 * A log for the verbs: passes on messages about files, which no result shows, and drops the rest. Messages
 * about a sandbox are part of a verb's own result, and stack traces are for the server's log.
 */
export function cliLog(report: (trouble: FileProblem) => void): Logger {
  const ignore = (): void => {};
  const take = (first: Record<string, unknown> | string, sentence = ''): void => {
    if (typeof first === 'string' || typeof first['file'] !== 'string') return;
    report({ message: sentence, file: first['file'], cause: first['err'] });
  };
  const log: Logger = {
    trace: ignore,
    debug: ignore,
    info: ignore,
    warn: take,
    error: take,
    child: () => log,
  };
  return log;
}
