const NEWLINE = 0x0a;

export interface LineHandlers {
  line(text: string): void;
  /** A line exceeded the limit; its bytes were dropped. */
  tooLong(limitBytes: number): void;
}

/**
 * Splits a byte stream into lines without ever holding more than `limitBytes`: a longer line is dropped up to
 * its newline and reported once. Chunks are joined once per line, so the cost does not grow with their
 * number.
 */
export function messageLines(limitBytes: number, handlers: LineHandlers): (chunk: Buffer) => void {
  let parts: Buffer[] = [];
  let held = 0;
  let skipping = false;

  const take = (part: Buffer): void => {
    if (skipping) return;
    if (held + part.length > limitBytes) {
      skipping = true;
      parts = [];
      held = 0;
      handlers.tooLong(limitBytes);
      return;
    }
    parts.push(part);
    held += part.length;
  };

  return (chunk) => {
    let start = 0;
    for (;;) {
      const end = chunk.indexOf(NEWLINE, start);
      if (end === -1) break;
      take(chunk.subarray(start, end));
      start = end + 1;
      const whole = skipping ? null : Buffer.concat(parts, held).toString('utf8');
      parts = [];
      held = 0;
      skipping = false;
      if (whole !== null && whole.trim() !== '') handlers.line(whole);
    }
    if (start < chunk.length) take(chunk.subarray(start));
  };
}
