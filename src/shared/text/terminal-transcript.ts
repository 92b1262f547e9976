import { terminalText } from './terminal-text.ts';
import { formatCount } from './text.ts';

/** Characters of output kept for the next read. */
const KEPT = 24_576;
const ESCAPE = '\u001b';
/** Private modes set or reset, or a full terminal reset. */
const SWITCH = new RegExp(`${ESCAPE}(?:\\[\\?([0-9;]{0,64})([hl])|c)`, 'g');
/** The beginning of such a sequence that the next chunk completes. */
const UNFINISHED = new RegExp(`${ESCAPE}(?:\\[(?:\\?[0-9;]{0,64})?)?$`);
const ALTERNATE_MODES = ['47', '1047', '1049'];

/**
 * The newest part of a terminal program's output, line by line. What a full-screen program draws on the
 * alternate screen is omitted: it is only meaningful as a screen.
 */
export class TerminalTranscript {
  #kept = '';
  #total = 0;
  #seen = 0;
  #pending = '';
  #alternate = false;

  /** Characters so far, including dropped ones. */
  get total(): number {
    return this.#total;
  }

  add(chunk: string): void {
    const text = this.#pending + chunk;
    this.#pending = UNFINISHED.exec(text)?.[0] ?? '';
    const whole = text.slice(0, text.length - this.#pending.length);
    let from = 0;
    for (const match of whole.matchAll(SWITCH)) {
      this.#append(whole.slice(from, match.index));
      from = match.index + match[0].length;
      this.#switch(match[1], match[2]);
    }
    this.#append(whole.slice(from));
  }

  /** The output since a position of `total`, as readable text; only the newest part if there is a lot. */
  since(position: number): string {
    const start = this.#total - this.#kept.length;
    const text = terminalText(this.#kept.slice(Math.max(0, position - start)));
    if (position >= start) return text;
    return `[… ${formatCount(start - position)} characters left out …]\n${text}`;
  }

  /** The output since the last call. */
  take(): string {
    const text = this.since(this.#seen);
    this.#seen = this.#total;
    return text;
  }

  #append(text: string): void {
    if (this.#alternate) return;
    this.#kept = `${this.#kept}${text}`.slice(-KEPT);
    this.#total += text.length;
  }

  #switch(modes: string | undefined, action: string | undefined): void {
    if (modes === undefined) this.#alternate = false;
    else if (modes.split(';').some((mode) => ALTERNATE_MODES.includes(mode)))
      this.#alternate = action === 'h';
  }
}
