import { terminalText } from './terminal-text.ts';
import { formatCount } from './text.ts';

/** Characters of output that are kept for the next look. */
const KEPT = 24_576;
const ESCAPE = '\u001b';
/** Private modes set or reset, or the whole terminal reset. */
const SWITCH = new RegExp(`${ESCAPE}(?:\\[\\?([0-9;]{0,64})([hl])|c)`, 'g');
/** The beginning of such a sequence, whose rest comes with the next chunk. */
const UNFINISHED = new RegExp(`${ESCAPE}(?:\\[(?:\\?[0-9;]{0,64})?)?$`);
const ALTERNATE_MODES = ['47', '1047', '1049'];

/**
 * What a terminal's program has written line by line, the newest part of it. What a full-screen program paints on a
 * screen of its own is left out: only the screen itself makes sense of that.
 */
export class TerminalTranscript {
  #kept = '';
  #total = 0;
  #seen = 0;
  #pending = '';
  #alternate = false;

  /** Characters so far, the dropped ones included. */
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

  /** What has come after a position of `total`, as readable text; the newest part of it where that is much. */
  since(position: number): string {
    const start = this.#total - this.#kept.length;
    const text = terminalText(this.#kept.slice(Math.max(0, position - start)));
    if (position >= start) return text;
    return `[… ${formatCount(start - position)} characters left out …]\n${text}`;
  }

  /** What has come since the last call. */
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
