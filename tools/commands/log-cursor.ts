import { SandboxError } from '../../src/shared/errors.ts';
import type { Positions } from './log-lines.ts';

/** A position in the logs of a command, valid in every process that can read them. */
export interface LogCursor extends Positions {
  /** Lines of context that still belong to a match on the previous page. */
  after: number;
  /** Bytes of both streams that were shown, unfinished lines included: waiting for output continues from here. */
  seen: number;
}

export const LOG_START: LogCursor = { stdout: 0, stderr: 0, after: 0, seen: 0 };

/** Opaque to callers. Ends with part of the command id, so that a cursor cannot be used on another command. */
export function encodeCursor(commandId: string, cursor: LogCursor): string {
  const numbers = [cursor.stdout, cursor.stderr, cursor.after, cursor.seen].map((value) =>
    value.toString(36),
  );
  return [...numbers, commandId.slice(-8)].join('.');
}

/** @throws `invalid_argument` for anything but a cursor of this command */
export function decodeCursor(commandId: string, text: string): LogCursor {
  const [stdout, stderr, after, seen, tail, ...rest] = text.split('.');
  const numbers = [stdout, stderr, after, seen].map((part) =>
    /^[0-9a-z]{1,11}$/.test(part ?? '') ? Number.parseInt(part ?? '', 36) : Number.NaN,
  );
  const [first = Number.NaN, second = Number.NaN, third = Number.NaN, fourth = Number.NaN] = numbers;
  if (rest.length > 0 || tail !== commandId.slice(-8) || !numbers.every(Number.isSafeInteger)) {
    throw new SandboxError(
      'invalid_argument',
      `\`cursor\` ${JSON.stringify(text.slice(0, 60))} does not belong to ${commandId}.`,
      {
        hint: 'Pass the next_cursor of a command_logs result of this command, or leave it out to start at the beginning.',
      },
    );
  }
  return { stdout: first, stderr: second, after: Math.min(third, 1_000), seen: fourth };
}
