import type { Logger } from '../../shared/log.ts';

/** Something that went wrong with a file of the state. */
export interface FileProblem {
  readonly message: string;
  readonly file: string;
  readonly cause: unknown;
}

/**
 * A log for the verbs: hands on what it tells of files, which no answer shows, and drops the rest. What concerns a
 * sandbox is part of a verb's own answer, and stacks are for the server's log.
 */
export function cliLog(tell: (trouble: FileProblem) => void): Logger {
  const ignore = (): void => {};
  const take = (first: Record<string, unknown> | string, sentence = ''): void => {
    if (typeof first === 'string' || typeof first['file'] !== 'string') return;
    tell({ message: sentence, file: first['file'], cause: first['err'] });
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
