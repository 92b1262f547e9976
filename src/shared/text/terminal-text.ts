/** What remains readable on a terminal of a program's output. */
import stripAnsi from 'strip-ansi';

const ESCAPE = '\u001b';
const UNFINISHED_ESCAPE = new RegExp(`${ESCAPE}(?:[\\[(][0-9;:?]*|\\][^\\u0007${ESCAPE}]{0,256})?$`);
/**
 * What moves the cursor in text: line ends, carriage returns, backspaces, and the control sequences of
 * progress bars (ECMA-48: cursor up, down, right, left, to a row or a column, erase below, erase line).
 */
const MOVE = new RegExp(`[\\n\\r\\b]|(?:${ESCAPE}\\[|\\u009b)([0-9]{0,9})([A-GJK])`, 'g');

/**
 * What remains readable on a terminal of a program's output: without colours and other escapes; of
 * overwritten text (by carriage returns, backspaces or cursor movement) only the final state; without other
 * control characters. NUL is shown as ␀. Takes linear time, and the result is at most twice as long as the
 * input.
 */
export function terminalText(raw: string): string {
  if (!hasControls(raw)) return raw;
  const page = new Screen(raw.length);
  const text = raw.replace(UNFINISHED_ESCAPE, '').replaceAll('\u0000', '␀');
  let from = 0;
  for (const match of text.matchAll(MOVE)) {
    page.write(printable(stripAnsi(text.slice(from, match.index))));
    from = match.index + match[0].length;
    page.move(match[2] ?? match[0], match[1] ?? '');
  }
  page.write(printable(stripAnsi(text.slice(from))));
  return page.text();
}

/** The length in bytes of an incomplete escape sequence at the end. */
export function unfinishedEscapeBytes(bytes: Buffer): number {
  return UNFINISHED_ESCAPE.exec(bytes.toString('latin1'))?.[0].length ?? 0;
}

/** The last non-blank line of a text, or null. */
export function lastVisibleLine(raw: string): string | null {
  const lines = terminalText(raw).split('\n');
  for (let index = lines.length - 1; index >= 0; index--) {
    const line = lines[index]?.trim();
    if (line) return line;
  }
  return null;
}

function hasControls(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/.test(text);
}

function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is dropped
  return text.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g, '');
}

/** Rows of unlimited width and height, so that nothing wraps or scrolls away. */
class Screen {
  #line: string[] = [];
  readonly #lines = [this.#line];
  #row = 0;
  #column = 0;
  /**
   * Limits the blanks added when the cursor moves past the end of a line: short escapes must not produce long
   * text.
   */
  #blanks: number;

  constructor(blanks: number) {
    this.#blanks = blanks;
  }

  /** Overwrites the line from the cursor on. */
  write(text: string): void {
    if (text === '') return;
    const line = this.#line;
    while (line.length < this.#column && this.#blanks > 0) {
      line.push(' ');
      this.#blanks -= 1;
    }
    let column = Math.min(this.#column, line.length);
    for (const character of text) line[column++] = character;
    this.#column = column;
  }

  move(kind: string, digits: string): void {
    const count = Number(digits);
    const steps = Math.max(1, count);
    if (kind === '\n') this.#lineFeed();
    else if (kind === '\r') this.#column = 0;
    else if (kind === '\b' || kind === 'D') this.#column = Math.max(0, this.#column - steps);
    else if (kind === 'C') this.#column += steps;
    else if (kind === 'G') this.#column = steps - 1;
    else if (kind === 'J') this.#eraseBelow(count);
    else if (kind === 'K') this.#eraseLine(count);
    else this.#moveRows(kind, steps);
  }

  text(): string {
    // Rows below the cursor that were erased show nothing.
    while (this.#lines.length > this.#row + 1 && this.#lines.at(-1)?.length === 0) this.#lines.pop();
    return this.#lines.map((line) => line.join('')).join('\n');
  }

  #lineFeed(): void {
    if (this.#row === this.#lines.length - 1) this.#lines.push([]);
    this.#toRow(this.#row + 1);
    this.#column = 0;
  }

  /** A and B keep the column; E and F go to the first. */
  #moveRows(kind: string, steps: number): void {
    this.#toRow(this.#row + (kind === 'A' || kind === 'F' ? -steps : steps));
    if (kind === 'E' || kind === 'F') this.#column = 0;
  }

  #toRow(row: number): void {
    this.#row = Math.min(Math.max(0, row), this.#lines.length - 1);
    this.#line = this.#lines[this.#row] ?? this.#line;
  }

  /**
   * Erases from the cursor on. Erasing the whole screen is ignored: what was on it before is part of the
   * output.
   */
  #eraseBelow(count: number): void {
    if (count !== 0) return;
    this.#line.length = Math.min(this.#line.length, this.#column);
    this.#lines.length = this.#row + 1;
  }

  /** Erases from the cursor on (0), or the whole line (2). */
  #eraseLine(count: number): void {
    if (count === 2) this.#line.length = 0;
    else if (count === 0) this.#line.length = Math.min(this.#line.length, this.#column);
  }
}
