/** A unified diff from known changes: the texts need not be compared, so it takes linear time. */
import { decodeUtf8 } from '../../../src/shared/text/utf8.ts';
import type { Change, Edited } from './replace-text.ts';

const LF = 0x0a;
const CONTEXT_LINES = 3;
const NO_LINE_END = '\\ No newline at end of file';

/** Lines `[from, to)` of the original that have become lines `[newFrom, newTo)`, counted from 0. */
type LineChange = Change;

/**
 * The diff of one file in the form of `diff -u`, with three lines of context; empty if nothing has changed.
 * It ends after `maxLength` characters at a whole line, with the number of lines that are left out.
 */
export function unifiedDiff(path: string, original: Buffer, edited: Edited, maxLength: number): string {
  const before = new Lines(original);
  const after = new Lines(edited.content);
  const changes = edited.changes.map((change) => wholeLines(change, before, after));
  const lines = hunks(
    join(changes, 0)
      .map((change) => trimmed(change, before, after))
      .filter(hasEffect),
  );
  if (lines.length === 0) return '';
  const text = lines.flatMap((hunk) => hunkLines(hunk, before, after));
  return cut([`--- a${path}`, `+++ b${path}`, ...text], maxLength);
}

/** The lines of a text, each with its line end. */
class Lines {
  readonly #bytes: Buffer;
  /** Where each line starts, and the end of the text. */
  readonly #starts: number[] = [0];

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    for (let at = bytes.indexOf(LF); at !== -1; at = bytes.indexOf(LF, at + 1)) this.#starts.push(at + 1);
    if (this.#starts.at(-1) !== bytes.length) this.#starts.push(bytes.length);
  }

  get count(): number {
    return this.#starts.length - 1;
  }

  startOf(line: number): number {
    return this.#starts[line] ?? this.#bytes.length;
  }

  /**
   * The line that `offset` is in. The end of the text is in its last line if that has no line end, and
   * otherwise in a line of its own: `count`.
   */
  at(offset: number): number {
    if (offset === this.#bytes.length && offset > 0 && this.#bytes[offset - 1] !== LF) return this.count - 1;
    let low = 0;
    let high = this.#starts.length;
    while (high - low > 1) {
      const middle = (low + high) >>> 1;
      if (this.startOf(middle) <= offset) low = middle;
      else high = middle;
    }
    return low;
  }

  bytes(line: number): Buffer {
    return this.#bytes.subarray(this.startOf(line), this.startOf(line + 1));
  }
}

/** Widens a change of bytes to the lines that it touches; the text around it is the same in both. */
function wholeLines(change: Change, before: Lines, after: Lines): LineChange {
  const line = { from: before.at(change.from), newFrom: after.at(change.newFrom) };
  const atLineStarts =
    before.startOf(before.at(change.to)) === change.to &&
    after.startOf(after.at(change.newTo)) === change.newTo;
  const rest = atLineStarts ? 0 : 1;
  return {
    ...line,
    to: Math.min(before.count, before.at(change.to) + rest),
    newTo: Math.min(after.count, after.at(change.newTo) + rest),
  };
}

/** Makes one of those changes that overlap or have at most `distance` lines between them. */
function join(changes: readonly LineChange[], distance: number): LineChange[] {
  const joined: LineChange[] = [];
  for (const change of changes) {
    const last = joined.at(-1);
    if (last === undefined || change.from > last.to + distance) joined.push({ ...change });
    else Object.assign(last, { to: Math.max(last.to, change.to), newTo: Math.max(last.newTo, change.newTo) });
  }
  return joined;
}

/** Without the equal lines at both ends. */
function trimmed(change: LineChange, before: Lines, after: Lines): LineChange {
  let { from, to, newFrom, newTo } = change;
  while (from < to && newFrom < newTo && before.bytes(from).equals(after.bytes(newFrom))) {
    from++;
    newFrom++;
  }
  while (from < to && newFrom < newTo && before.bytes(to - 1).equals(after.bytes(newTo - 1))) {
    to--;
    newTo--;
  }
  return { from, to, newFrom, newTo };
}

function hasEffect({ from, to, newFrom, newTo }: LineChange): boolean {
  return from < to || newFrom < newTo;
}

/** Groups of changes whose context would overlap. */
function hunks(changes: readonly LineChange[]): LineChange[][] {
  const groups: LineChange[][] = [];
  for (const change of changes) {
    const last = groups.at(-1)?.at(-1);
    if (last === undefined || change.from - last.to > 2 * CONTEXT_LINES) groups.push([change]);
    else groups.at(-1)?.push(change);
  }
  return groups;
}

function hunkLines(changes: readonly LineChange[], before: Lines, after: Lines): string[] {
  const [first, last] = [changes[0], changes.at(-1)];
  if (first === undefined || last === undefined) return [];
  const lead = Math.min(CONTEXT_LINES, first.from);
  const trail = Math.min(CONTEXT_LINES, before.count - last.to);
  const from = first.from - lead;
  const lines: string[] = [];
  const add = (sign: string, source: Lines, start: number, end: number): void => {
    for (let line = start; line < end; line++) lines.push(...signed(sign, source.bytes(line)));
  };
  let at = from;
  for (const change of changes) {
    add(' ', before, at, change.from);
    add('-', before, change.from, change.to);
    add('+', after, change.newFrom, change.newTo);
    at = change.to;
  }
  add(' ', before, at, last.to + trail);
  const old = range(from, last.to + trail);
  return [`@@ -${old} +${range(first.newFrom - lead, last.newTo + trail)} @@`, ...lines];
}

function signed(sign: string, line: Buffer): string[] {
  const ended = line.at(-1) === LF;
  const text = decodeUtf8(ended ? line.subarray(0, -1) : line);
  return ended ? [sign + text] : [sign + text, NO_LINE_END];
}

/** As in `diff -u`: a count of 1 is omitted, and an empty range names the line before it. */
function range(from: number, to: number): string {
  const count = to - from;
  if (count === 1) return `${from + 1}`;
  return `${count === 0 ? from : from + 1},${count}`;
}

function cut(lines: readonly string[], maxLength: number): string {
  let length = 0;
  for (const [index, line] of lines.entries()) {
    length += line.length + 1;
    if (length <= maxLength) continue;
    return `${lines.slice(0, index).join('\n')}\n… ${lines.length - index} more lines of this diff`;
  }
  return `${lines.join('\n')}\n`;
}
