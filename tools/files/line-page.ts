import type { SandboxHandle } from '../../src/registry/types.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { isBinary, NOT_PLAIN } from '../../src/shared/text/output-text.ts';
import { characterEnd, decodeUtf8, isPlainText } from '../../src/shared/text/utf8.ts';
import { BinaryFileError, type FileAnswer, missingFile } from './file-page.ts';

const SLICE_BYTES = 1_048_576;
/** Lines beyond are not counted. */
const MAX_COUNTED_BYTES = 64 * 1_048_576;
const DEFAULT_LINES = 1_000;
const NEWLINE = 0x0a;

export interface LinePageRequest {
  path: string;
  cwd?: string | undefined;
  fromLine: number;
  /** Undefined: as many as fit. */
  lines?: number | undefined;
  /** In bytes. */
  limit: number;
}

export type LineAnswer = FileAnswer & {
  from_line: number;
  to_line: number;
  /** Null if the file is too large to count. */
  total_lines: number | null;
  next_line: number | null;
};

/**
 * Reads lines of a text file; the last one may lack a line end. A line that is longer than the limit is cut.
 *
 * @throws `invalid_argument` for a line past the end, `BinaryFileError` for binary data
 */
export async function readLinePage(
  handle: SandboxHandle,
  request: LinePageRequest,
  signal: AbortSignal,
): Promise<FileAnswer | LineAnswer> {
  const view = await handle.requireRunning(signal);
  const reader = new LineReader(request);
  let offset = 0;
  for (;;) {
    const range = { offset, limit: SLICE_BYTES };
    const read = await handle.files.read(request.path, request.cwd ?? null, range, signal);
    if (read === null) return missingFile(handle, view, request, signal);
    reader.take(read.data);
    offset += read.data.length;
    const isEnd = read.data.length === 0 || (read.sizeBytes > 0 && offset >= read.sizeBytes);
    if (!isEnd && (offset < MAX_COUNTED_BYTES || !reader.isComplete)) continue;
    return reader.answer(read.path, Math.max(read.sizeBytes, offset), isEnd);
  }
}

/** Finds the wanted lines, and counts all. */
class LineReader {
  readonly #request: LinePageRequest;
  readonly #kept: Buffer[] = [];
  #keptBytes = 0;
  /** The number of the line that the next byte belongs to. */
  #line = 1;
  #lineIsEmpty = true;

  constructor(request: LinePageRequest) {
    this.#request = request;
  }

  get #lastLine(): number {
    return this.#request.fromLine + (this.#request.lines ?? DEFAULT_LINES) - 1;
  }

  /** True once the wanted lines have been read, as far as they fit. */
  get isComplete(): boolean {
    return this.#line > this.#lastLine || this.#keptBytes > this.#request.limit;
  }

  take(data: Buffer): void {
    let at = 0;
    while (at < data.length) {
      const newline = data.indexOf(NEWLINE, at);
      const end = newline === -1 ? data.length : newline + 1;
      const isWanted = this.#line >= this.#request.fromLine && !this.isComplete;
      if (isWanted) {
        // One byte over the limit tells that there is more.
        const part = data.subarray(at, Math.min(end, at + this.#request.limit + 1));
        this.#kept.push(part);
        this.#keptBytes += part.length;
      }
      this.#lineIsEmpty = newline !== -1;
      if (newline !== -1) this.#line++;
      at = end;
    }
  }

  answer(path: string, sizeBytes: number, isEnd: boolean): LineAnswer {
    const { fromLine, limit } = this.#request;
    const total = this.#lineIsEmpty ? this.#line - 1 : this.#line;
    if (isEnd && fromLine > Math.max(total, 1)) throw pastEnd(path, fromLine, total);
    const all = Buffer.concat(this.#kept);
    const shown = all.length > limit ? wholeLines(all, limit) : all;
    if (isBinary(shown)) throw new BinaryFileError(path, sizeBytes);
    const ends = shown.reduce((count, byte) => count + (byte === NEWLINE ? 1 : 0), 0);
    const isOpen = shown.length > 0 && shown.at(-1) !== NEWLINE;
    const toLine = Math.max(fromLine + ends + (isOpen ? 1 : 0) - 1, fromLine);
    const hasMore = !isEnd || toLine < total;
    const isCut = isOpen && shown.length < all.length;
    const notes = [
      ...(isPlainText(shown) ? [] : [NOT_PLAIN]),
      ...(isCut ? [`Line ${toLine} is longer than limit and cut; offset reads it whole.`] : []),
    ];
    return {
      path,
      exists: true,
      size_bytes: sizeBytes,
      encoding: 'utf8',
      content: decodeUtf8(shown).replaceAll('\0', '␀'),
      next_offset: null,
      from_line: fromLine,
      to_line: toLine,
      total_lines: isEnd ? total : null,
      next_line: hasMore ? toLine + 1 : null,
      ...(notes.length > 0 && { note: notes.join(' ') }),
    };
  }
}

/** As many whole lines as fit; of a single line that does not, its start. */
function wholeLines(bytes: Buffer, limit: number): Buffer {
  const end = bytes.lastIndexOf(NEWLINE, limit - 1) + 1;
  return bytes.subarray(0, end > 0 ? end : characterEnd(bytes, limit));
}

function pastEnd(path: string, fromLine: number, total: number): SandboxError {
  return new SandboxError(
    'invalid_argument',
    `\`from_line\` ${fromLine} is past the end of ${JSON.stringify(path)}, which has ${total} lines.`,
    { hint: 'Pass a smaller from_line.', details: { path, total_lines: total } },
  );
}
