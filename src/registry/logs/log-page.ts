import type { OutputStream } from '../../engines/engine.ts';
import { isBinary, outputText } from '../../shared/text/output-text.ts';
import { formatCount } from '../../shared/text/text.ts';
import type { LogLine, LogsRequest, Positions } from '../types.ts';
import type { Line } from './line-splitter.ts';

/** Of all lines of a page together. */
const MAX_PAGE_CHARACTERS = 32_768;
const MAX_LINE_CHARACTERS = 2_000;

/** Collects lines until the page is full; with a pattern, the matching lines and their context. */
export class LogPage {
  readonly lines: LogLine[] = [];
  readonly #request: LogsRequest;
  #before: { line: Line; text: string }[] = [];
  #after: number;
  #characters = 0;

  /** @param after lines that still belong to a match on the previous page */
  constructor(request: LogsRequest, after: number) {
    this.#request = request;
    this.#after = request.matches === null ? 0 : after;
  }

  get after(): number {
    return this.#after;
  }

  /** Takes the next line. True while there is room for more. */
  offer(line: Line): boolean {
    if (this.#request.stream !== 'both' && line.stream !== this.#request.stream) return true;
    const text = this.#text(line);
    const { matches, context } = this.#request;
    if (matches === null || matches(text)) {
      for (const earlier of this.#before) this.#show(earlier.line.stream, earlier.text);
      this.#before = [];
      this.#show(line.stream, text);
      this.#after = matches === null ? 0 : context;
    } else if (this.#after > 0) {
      this.#after -= 1;
      this.#show(line.stream, text);
    } else if (context > 0) {
      this.#before.push({ line, text });
      if (this.#before.length > context) this.#before.shift();
    }
    return this.lines.length < this.#request.limit && this.#characters < MAX_PAGE_CHARACTERS;
  }

  /** Shows an unfinished line if requested. It neither moves the cursor nor counts as context. */
  offerPartial(line: Line): void {
    const { stream, matches } = this.#request;
    if (stream !== 'both' && line.stream !== stream) return;
    const text = this.#text(line);
    if (text !== '' && (matches === null || matches(text))) this.#show(line.stream, text, true);
  }

  /** Lines that may still become the context of a match are read again by the next page. */
  rewind(positions: Positions): Positions {
    const rewound = { ...positions };
    for (const { line } of this.#before) {
      rewound[line.stream] = Math.min(rewound[line.stream], line.start);
    }
    return rewound;
  }

  #show(stream: OutputStream, text: string, isPartial = false): void {
    const more = text.length - MAX_LINE_CHARACTERS;
    const data =
      more <= 0
        ? text
        : `${text.slice(0, MAX_LINE_CHARACTERS).replace(/\p{Surrogate}$/u, '')}… ${formatCount(more)} more characters`;
    this.lines.push(isPartial ? { stream, data, partial: true } : { stream, data });
    this.#characters += data.length;
  }

  #text(line: Line): string {
    if (isBinary(line.bytes)) return `[${formatCount(line.bytes.length)} bytes of binary data]`;
    return outputText(line.bytes, this.#request.exactBytes);
  }
}
