import type { ScanRecord } from '../../../src/engines/engine.ts';
import { sleep } from '../../../src/shared/async/with-timeout.ts';
import { terminalText } from '../../../src/shared/text/terminal-text.ts';
import { decodeUtf8 } from '../../../src/shared/text/utf8.ts';
import type { PathPosition } from '../../common/path-cursor.ts';
import type { LinePattern } from './line-pattern.ts';

/** Of all lines of a page together. */
const MAX_PAGE_CHARACTERS = 32_768;
const MAX_LINE_CHARACTERS = 400;
/** Of a longer line, how much is shown before the match. */
const LEAD_CHARACTERS = 80;
/** After matching for so long, other calls get as much time. */
const STRETCH_MS = 20;

/** A line that matches. */
export interface Match {
  line: number;
  text: string;
  /** Its bytes in the file. */
  offset: number;
  length: number;
}

export interface FileMatches {
  parts: readonly string[];
  matches: Match[];
}

export interface PageLimits {
  matches: number;
  /** In the clock of `performance.now()`. */
  until: number;
}

/** Collects the matches of one page from the records of scans. */
export class SearchPage {
  readonly files: FileMatches[] = [];
  /** Where the next page starts; null until the page has ended. */
  end: PathPosition | null = null;
  matchCount = 0;
  filesSearched = 0;
  binaryFiles = 0;
  unreadableFiles = 0;
  truncatedFiles = 0;
  readonly #pattern: LinePattern;
  readonly #limits: PageLimits;
  readonly #resume: PathPosition;
  readonly #signal: AbortSignal;
  #characters = 0;
  #matchingMs = 0;

  constructor(pattern: LinePattern, limits: PageLimits, resume: PathPosition, signal: AbortSignal) {
    this.#pattern = pattern;
    this.#limits = limits;
    this.#resume = resume;
    this.#signal = signal;
  }

  get isOutOfTime(): boolean {
    return performance.now() >= this.#limits.until;
  }

  /** Takes the records of these files, until the page ends. */
  async take(files: readonly (readonly string[])[], records: AsyncIterable<ScanRecord>): Promise<void> {
    for await (const record of records) {
      const parts = files[record.file];
      if (parts === undefined) continue;
      if (record.kind === 'line') this.#takeLine(parts, record);
      else this.#count(record.kind);
      if (this.end === null && this.isOutOfTime) {
        this.end = { parts, line: record.kind === 'line' ? record.line : 0 };
      }
      if (this.end !== null) {
        this.filesSearched += record.file + 1;
        return;
      }
      if (this.#matchingMs >= STRETCH_MS) {
        await sleep(this.#matchingMs, this.#signal);
        this.#matchingMs = 0;
      }
    }
    this.filesSearched += files.length;
  }

  #count(kind: Exclude<ScanRecord['kind'], 'line'>): void {
    if (kind === 'binary') this.binaryFiles++;
    if (kind === 'unreadable') this.unreadableFiles++;
    if (kind === 'truncated') this.truncatedFiles++;
  }

  #takeLine(parts: readonly string[], record: Extract<ScanRecord, { kind: 'line' }>): void {
    const { line, offset, data } = record;
    const isSeen = line <= this.#resume.line && samePath(parts, this.#resume.parts);
    const current = this.files.at(-1);
    const own = current !== undefined && current.parts === parts ? current : null;
    // A long line comes in pieces.
    if (isSeen || own?.matches.at(-1)?.line === line) return;
    const begun = performance.now();
    const text = decodeUtf8(data).replace(/\r$/, '');
    const shown = this.#pattern.matches(text) ? this.#shown(text) : null;
    this.#matchingMs += performance.now() - begun;
    if (shown === null) return;
    const match = { line, text: shown, offset, length: data.length };
    if (own !== null) own.matches.push(match);
    else this.files.push({ parts, matches: [match] });
    this.matchCount++;
    this.#characters += shown.length;
    const isFull = this.matchCount >= this.#limits.matches || this.#characters >= MAX_PAGE_CHARACTERS;
    if (isFull) this.end = { parts, line };
  }

  #shown(text: string): string {
    return shownLine(text, text.length > MAX_LINE_CHARACTERS ? this.#pattern.indexIn(text) : 0);
  }
}

/** A line as it is shown: without terminal escapes; of a long one, the part around an index. */
export function shownLine(text: string, index = 0): string {
  const start = Math.max(0, Math.min(index - LEAD_CHARACTERS, text.length - MAX_LINE_CHARACTERS));
  const part = text.slice(start, start + MAX_LINE_CHARACTERS).toWellFormed();
  const isCut = start + MAX_LINE_CHARACTERS < text.length;
  return `${start > 0 ? '…' : ''}${terminalText(part)}${isCut ? '…' : ''}`;
}

function samePath(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((part, index) => part === b[index]);
}
