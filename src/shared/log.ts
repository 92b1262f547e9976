import { type DestinationStream, type Logger as Pino, pino } from 'pino';
import { type Mask, redactFields, redactText } from './redact.ts';
import { createStderrWriter } from './stderr-writer.ts';

export type LogLevel = 'trace' | 'debug' | 'info' | 'warn' | 'error' | 'silent';

interface Log {
  (message: string): void;
  (fields: Record<string, unknown>, message: string): void;
}

/** Structured log lines. Fields are redacted by key; pass an `Error` as `err`. */
export interface Logger {
  readonly trace: Log;
  readonly debug: Log;
  readonly info: Log;
  readonly warn: Log;
  readonly error: Log;
  /** Returns a logger that adds these fields to every line. */
  child(fields: Record<string, unknown>): Logger;
}

/**
 * Writes JSON lines to standard error, because standard output carries the protocol. A client that does not
 * read them never blocks the server or keeps it alive. `mask` removes secrets from all text. `stream`
 * replaces standard error.
 */
export function createLogger(
  level: LogLevel,
  stream?: DestinationStream,
  mask: Mask = (text) => text,
): Logger {
  const output = stream ?? createStderrWriter();
  // Errors are plain data by the time pino gets them; its own serializer would lose fields.
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
