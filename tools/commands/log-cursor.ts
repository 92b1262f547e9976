import type { LogCursor } from '../../src/registry/types.ts';
import { SandboxError } from '../../src/shared/errors.ts';

/**
 * Opaque to callers. Ends with part of the command id, so that a cursor cannot be used on another command.
 */
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
