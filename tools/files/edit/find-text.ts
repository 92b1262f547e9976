/** Finds what an edit replaces, and gives its new text the line ends that are there. */
import { occurrences, type Replacement } from './replace-text.ts';

const LF = 0x0a;

/**
 * The places where `oldText` occurs, in order and without overlaps, each with its new text. A line end LF of
 * `oldText` also matches CR LF, and `newText` gets the line end of each place: files may mix both. A text that
 * has a CR itself is taken as it is. At most `limit` places. Takes linear time.
 */
export function findText(content: Buffer, oldText: string, newText: string, limit: number): Replacement[] {
  const old = Buffer.from(oldText);
  const asGiven = Buffer.from(newText);
  if (oldText.includes('\r') || !content.includes('\r\n')) {
    return occurrences(content, old, limit).map((from) => ({
      from,
      to: from + old.length,
      newText: asGiven,
    }));
  }
  const hasOwnEnds = newText.includes('\r') || !newText.includes('\n');
  const withCr = hasOwnEnds ? asGiven : Buffer.from(newText.replaceAll('\n', '\r\n'));
  const { text, dropped } = withoutCr(content);
  const isCrLf = lineEnds(text, dropped);
  let before = 0;
  return occurrences(text, old, limit).map((start) => {
    while ((dropped[before] ?? text.length) < start) before++;
    const from = start + before;
    while ((dropped[before] ?? text.length) < start + old.length) before++;
    const to = start + old.length + before;
    return { from, to, newText: isCrLf(start) ? withCr : asGiven };
  });
}

/** The text without the CR of each CR LF, and where in it the LFs of these are. */
function withoutCr(content: Buffer): { text: Buffer; dropped: Uint32Array } {
  const text = Buffer.allocUnsafe(content.length);
  const dropped: number[] = [];
  let length = 0;
  let from = 0;
  for (let at = content.indexOf('\r\n'); at !== -1; at = content.indexOf('\r\n', at + 1)) {
    length += content.copy(text, length, from, at);
    dropped.push(length);
    from = at + 1;
  }
  length += content.copy(text, length, from);
  return { text: text.subarray(0, length), dropped: Uint32Array.from(dropped) };
}

/** Tells for ascending positions whether the line end there, or the last one before, is CR LF. */
function lineEnds(text: Buffer, dropped: Uint32Array): (start: number) => boolean {
  let lineEnd = -1;
  let index = 0;
  let isCrLf = false;
  return (start) => {
    if (start <= lineEnd) return isCrLf;
    const next = text.indexOf(LF, start);
    // The last line may have no end of its own.
    const end = next === -1 ? text.lastIndexOf(LF) : next;
    lineEnd = next === -1 ? text.length : next;
    while ((dropped[index] ?? end) < end) index++;
    isCrLf = dropped[index] === end;
    return isCrLf;
  };
}
