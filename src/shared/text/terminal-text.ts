/** What a terminal would leave readable of a program's output. */
import stripAnsi from 'strip-ansi';

const ESCAPE = '\u001b';
const UNFINISHED_ESCAPE = new RegExp(`${ESCAPE}(?:[\\[(][0-9;:?]*|\\][^\\u0007${ESCAPE}]{0,256})?$`);
/**
 * What moves the cursor in text: line ends, carriage returns, backspaces, and the control sequences of progress bars (ECMA-48:
 * the cursor up, down, right, left, to a row or a column, erase below, erase line).
 */
const MOVE = new RegExp(`[\\n\\r\\b]|(?:${ESCAPE}\\[|\\u009b)([0-9]{0,9})([A-GJK])`, 'g');

/**
 * What a terminal would leave readable of a program's output: no colours or other escapes, of what is written over (with
 * carriage returns, backspaces, or the cursor moved back or up) the final state, other control characters dropped. NUL is
 * shown as ␀. Takes linear time, and is at most twice as long as what was written.
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

/** How many bytes at the end are the beginning of an escape sequence, whose rest is missing. */
export function unfinishedEscapeBytes(bytes: Buffer): number {
  return UNFINISHED_ESCAPE.exec(bytes.toString('latin1'))?.[0].length ?? 0;
}

/** The last line of a text that shows anything, or null. */
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

/** Rows without a width or a height, so that nothing wraps or scrolls away. */
class Screen {
  #line: string[] = [];
  readonly #lines = [this.#line];
  #row = 0;
  #column = 0;
  /** Blanks that may yet stand where the cursor was moved past the end of a line: short escapes must not make long text. */
  #blanks: number;

  constructor(blanks: number) {
    this.#blanks = blanks;
  }

  /** Writes over what the line shows from the cursor on. */
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
    // Rows below the cursor that were emptied show nothing.
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

  /** From the cursor on. Erasing all of a screen is passed over: what stood on it before is part of the output. */
  #eraseBelow(count: number): void {
    if (count !== 0) return;
    this.#line.length = Math.min(this.#line.length, this.#column);
    this.#lines.length = this.#row + 1;
  }

  /** From the cursor on (0), or all of it (2). */
  #eraseLine(count: number): void {
    if (count === 2) this.#line.length = 0;
    else if (count === 0) this.#line.length = Math.min(this.#line.length, this.#column);
  }
}
