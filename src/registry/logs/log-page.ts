import { isBinary } from '../../shared/text/output-text.ts';
import { terminalText } from '../../shared/text/terminal-text.ts';
import { formatCount } from '../../shared/text/text.ts';
import { decodeUtf8, isPlainText } from '../../shared/text/utf8.ts';
import type { LogLine, LogsRequest, Positions } from '../types.ts';
import type { Line } from './line-splitter.ts';

/** Of all lines of a page together. */
const MAX_PAGE_CHARACTERS = 32_768;
const MAX_LINE_CHARACTERS = 2_000;

/** Collects lines until the page is full; with a pattern, the matching lines and their context. */
export class LogPage {
  readonly lines: LogLine[] = [];
  readonly #request: LogsRequest;
  #before: ShownLine[] = [];
  #after: number;
  #characters = 0;
  #unsearchedBytes = 0;
  #isReplaced = false;

  /** @param after lines that still belong to a match on the previous page */
  constructor(request: LogsRequest, after: number) {
    this.#request = request;
    this.#after = request.matches === null ? 0 : after;
  }

  get after(): number {
    return this.#after;
  }

  /** Without those that the next page reads again. */
  get unsearchedBytes(): number {
    const again = this.#before.filter(({ isBinary }) => isBinary).map(({ line }) => line.bytes.length);
    return this.#unsearchedBytes - again.reduce((sum, bytes) => sum + bytes, 0);
  }

  get isReplaced(): boolean {
    return this.#isReplaced;
  }

  /** Takes the next line. True while there is room for more. */
  offer(line: Line): boolean {
    if (this.#request.stream !== 'both' && line.stream !== this.#request.stream) return true;
    const shown = shownLine(line);
    const { matches, context } = this.#request;
    if (matches !== null && shown.isBinary) this.#unsearchedBytes += line.bytes.length;
    if (this.#isMatch(shown)) {
      for (const earlier of this.#before) this.#show(earlier);
      this.#before = [];
      this.#show(shown);
      this.#after = matches === null ? 0 : context;
    } else if (this.#after > 0) {
      this.#after -= 1;
      this.#show(shown);
    } else if (context > 0) {
      this.#before.push(shown);
      if (this.#before.length > context) this.#before.shift();
    }
    return this.lines.length < this.#request.limit && this.#characters < MAX_PAGE_CHARACTERS;
  }

  /** Shows an unfinished line if requested. It neither moves the cursor nor counts as context. */
  offerPartial(line: Line): void {
    const { stream } = this.#request;
    if (stream !== 'both' && line.stream !== stream) return;
    const shown = shownLine(line);
    if (shown.text !== '' && this.#isMatch(shown)) this.#show(shown, true);
  }

  /** Lines that may still become the context of a match are read again by the next page. */
  rewind(positions: Positions): Positions {
    const rewound = { ...positions };
    for (const { line } of this.#before) {
      rewound[line.stream] = Math.min(rewound[line.stream], line.start);
    }
    return rewound;
  }

  #isMatch({ text, isBinary }: ShownLine): boolean {
    const { matches } = this.#request;
    return matches === null || (!isBinary && matches(text));
  }

  #show({ line: { stream }, text, isReplaced }: ShownLine, isPartial = false): void {
    this.#isReplaced ||= isReplaced;
    const more = text.length - MAX_LINE_CHARACTERS;
    const data =
      more <= 0
        ? text
        : `${text.slice(0, MAX_LINE_CHARACTERS).replace(/\p{Surrogate}$/u, '')}… ${formatCount(more)} more characters`;
    this.lines.push(isPartial ? { stream, data, partial: true } : { stream, data });
    this.#characters += data.length;
  }
}

interface ShownLine {
  line: Line;
  text: string;
  /** The text is a note in place of binary data. */
  isBinary: boolean;
  /** Some bytes are shown as U+FFFD, or NUL as ␀. */
  isReplaced: boolean;
}

function shownLine(line: Line): ShownLine {
  const { bytes } = line;
  if (isBinary(bytes)) {
    const text = `[${formatCount(bytes.length)} bytes of binary data]`;
    return { line, text, isBinary: true, isReplaced: false };
  }
  const text = terminalText(decodeUtf8(bytes));
  return { line, text, isBinary: false, isReplaced: !isPlainText(bytes) };
}
