import { type DestinationStream, destination, type Logger as Pino, pino } from 'pino';
import { type Mask, redactFields, redactText } from './redact.ts';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

interface Log {
  (message: string): void;
  (fields: Record<string, unknown>, message: string): void;
}

/** Structured log lines; fields are redacted by key, an `Error` goes under `err`. */
export interface Logger {
  readonly trace: Log;
  readonly debug: Log;
  readonly info: Log;
  readonly warn: Log;
  readonly error: Log;
  /** A logger that adds these fields to every line. */
  child(fields: Record<string, unknown>): Logger;
}

/** Lines that wait for a reader of stderr, in bytes; past it lines are dropped rather than memory filled. */
const MAX_BACKLOG_BYTES = 1_048_576;

/**
 * Writes JSON lines to standard error, since standard output carries the protocol. A client that does not read them
 * never blocks the server. `mask` takes secrets out of every text. `stream` takes the lines instead where it is given.
 */
export function createLogger(
  level: LogLevel,
  stream?: DestinationStream,
  mask: Mask = (text) => text,
): Logger {
  const output = stream ?? destination({ dest: 2, sync: false, maxLength: MAX_BACKLOG_BYTES });
  // An error is plain data by the time it gets to pino, whose own way with `err` would lose fields of it.
  const serializers = { err: (error: unknown) => error };
  return wrap(pino({ level, serializers, base: { pid: process.pid } }, output), mask);
}

function wrap(target: Pino, mask: Mask): Logger {
  return {
    trace: redacting(target, 'trace', mask),
    debug: redacting(target, 'debug', mask),
    info: redacting(target, 'info', mask),
    warn: redacting(target, 'warn', mask),
    error: redacting(target, 'error', mask),
    child: (fields) => wrap(target.child(redactFields(fields, mask)), mask),
  };
}

function redacting(target: Pino, level: Exclude<LogLevel, 'silent'>, mask: Mask): Log {
  return (first: Record<string, unknown> | string, message?: string): void => {
    if (!target.isLevelEnabled(level)) return;
    if (typeof first === 'string') target[level](redactText(first, mask));
    else target[level](redactFields(first, mask), redactText(message ?? '', mask));
  };
}
