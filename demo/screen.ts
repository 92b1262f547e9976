/** The demo's output: one line per step with its duration, a program's output below it. */
import { stripVTControlCharacters } from 'node:util';

const CODES = { bold: 1, dim: 2, red: 31, green: 32, cyan: 36 } as const;

type Style = keyof typeof CODES;

const TITLE_WIDTH = 26;
const MAX_LINE_CHARACTERS = 110;

/** Colours only on a terminal whose user has not disabled them (no-color.org). */
export function wantsColour(stream: { isTTY?: boolean }, noColor: string | undefined): boolean {
  return stream.isTTY === true && (noColor === undefined || noColor === '');
}

export class Screen {
  readonly #write: (text: string) => void;
  readonly #colour: boolean;

  constructor(write: (text: string) => void, colour: boolean) {
    this.#write = write;
    this.#colour = colour;
  }

  title(text: string, more: string): void {
    this.#write(`\n  ${this.#paint('bold', text)}  ${this.#paint('dim', more)}\n\n`);
  }

  /** A finished step. `durationMs` in milliseconds. */
  step(title: string, durationMs: number, outcome: string, good = true): void {
    const mark = good ? this.#paint('green', '✓') : this.#paint('red', '✗');
    const time = this.#paint('cyan', `${formatMs(durationMs)} ms`);
    this.#write(`  ${mark} ${title.padEnd(TITLE_WIDTH)}${time}   ${printable(outcome)}\n`);
  }

  /** A line written by a program in the sandbox: must not control the terminal. */
  output(line: string): void {
    const text = printable(line);
    const short = text.length > MAX_LINE_CHARACTERS ? `${text.slice(0, MAX_LINE_CHARACTERS - 1)}…` : text;
    this.#write(`    ${this.#paint('dim', `│ ${short}`)}\n`);
  }

  note(text: string): void {
    this.#write(`    ${this.#paint('dim', printable(text))}\n`);
  }

  /** The count of something while the sandbox was alive, and the count that is left. */
  count(name: string, before: number, after: number): void {
    const left = this.#paint(after === 0 ? 'green' : 'red', String(after));
    this.#write(`    ${name.padEnd(TITLE_WIDTH - 2)}${String(before).padStart(6)} → ${left}\n`);
  }

  end(text: string, good: boolean): void {
    this.#write(`\n  ${this.#paint(good ? 'green' : 'red', printable(text))}\n\n`);
  }

  #paint(style: Style, text: string): string {
    return this.#colour ? `\u001b[${CODES[style]}m${text}\u001b[0m` : text;
  }
}

/** `1,234` right-aligned in six columns. */
function formatMs(durationMs: number): string {
  return Math.round(durationMs)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',')
    .padStart(6);
}

/** One line without anything that a terminal would interpret. */
function printable(text: string): string {
  return stripVTControlCharacters(text)
    .replaceAll('\n', ' ')
    .replace(/\p{Cc}/gu, '');
}
