import type { Command, OutputStream } from '../../src/engines/engine.ts';
import type { CommandHandle } from '../../src/registry/types.ts';
import { isBinary, NOT_PLAIN, outputText } from '../../src/shared/text/output-text.ts';
import { unfinishedEscapeBytes } from '../../src/shared/text/terminal-text.ts';
import {
  characterAt,
  characterEnd,
  characterStart,
  isPlainText,
  MAX_CHARACTER_BYTES,
} from '../../src/shared/text/utf8.ts';
import { endOf, readRange, type Span } from '../common/byte-range.ts';

export interface OutputPageRequest {
  stream: OutputStream | 'both';
  /** Negative counts from the end; past the end means the end. */
  offset: number;
  limit: number;
  encoding: 'utf8' | 'base64';
}

export interface OutputPage {
  /**
   * Of the first byte of the content. For text, the start of the character at the requested offset; after a
   * gap, the end of the gap.
   */
  offset: number;
  content: string;
  /** Null if the command has finished and nothing follows. */
  nextOffset: number | null;
  totalBytes: number;
  /**
   * Bytes between the requested offset and `offset`: no longer held, or (for text) the rest of a character
   * cut by a gap.
   */
  droppedBytes: number;
  /** Null for text that is shown as it was written. */
  note: string | null;
}

/**
 * One page of a command's bytes; text begins and ends with complete characters. A gap is skipped in one step.
 */
export async function readOutputPage(
  handle: CommandHandle,
  command: Command,
  request: OutputPageRequest,
  signal: AbortSignal,
): Promise<OutputPage> {
  const totalBytes = totalOf(command, request.stream);
  const isOver = command.status === 'finished';
  const requested = startOf(request.offset, totalBytes);
  const final = isOver ? totalBytes : null;
  const { start, bytes } = await readSpan(handle, request, requested, final, signal);
  const end = start + bytes.length;
  const exact = `command_output command_id=${command.commandId} stream=${request.stream} offset=${start} encoding=base64`;
  const isReplaced = request.encoding === 'utf8' && !isPlainText(bytes) && !isBinary(bytes);
  return {
    offset: start,
    content: request.encoding === 'base64' ? bytes.toString('base64') : outputText(bytes, exact),
    nextOffset: isOver && end >= totalBytes ? null : end,
    // More may have been written since the totals were taken.
    totalBytes: Math.max(totalBytes, end),
    droppedBytes: Math.max(0, start - requested),
    note: isReplaced ? NOT_PLAIN : null,
  };
}

/**
 * The first available bytes from `asked` on, at most `limit`; none if nothing is there yet. `final` is the
 * final length, null while more may come.
 */
async function readSpan(
  handle: CommandHandle,
  { stream, limit, encoding }: OutputPageRequest,
  requested: number,
  final: number | null,
  signal: AbortSignal,
): Promise<Span> {
  const isText = encoding === 'utf8';
  for (let from = requested; ; ) {
    // Text is read from slightly earlier: a character may have begun there.
    const start = isText ? Math.max(0, from - (MAX_CHARACTER_BYTES - 1)) : from;
    const range = { stream, start, end: from + limit };
    const held = await readRange(handle, range, signal);
    for (const span of held) {
      if (endOf(span) <= from) continue;
      const page = isText ? textOf(span, { from, limit, final, isAfterGap: span.start > start }) : span;
      if (page.bytes.length > 0) return page;
    }
    const last = held.at(-1);
    const offset = Math.max(from, last === undefined ? 0 : endOf(last));
    const slice = await handle.output({ stream, offset, limit: 1 }, signal);
    const next = slice.chunks[0]?.offset ?? slice.nextOffset;
    if (next <= offset) return { start: from, bytes: Buffer.alloc(0) };
    from = next;
  }
}

interface TextWish {
  /** The offset at which the text begins. */
  from: number;
  limit: number;
  final: number | null;
  isAfterGap: boolean;
}

/** The complete characters of a span from an offset on. An incomplete one is left to the next page. */
function textOf({ start, bytes }: Span, { from, limit, final, isAfterGap }: TextWish): Span {
  const at = Math.max(0, from - start);
  // A character that began before the gap is incomplete.
  const rest = isAfterGap ? characterStart(bytes) : 0;
  const begin = at <= rest ? rest : characterAt(bytes, at);
  const page = { start: start + begin, bytes: bytes.subarray(begin, begin + limit) };
  if (endOf(page) === final) return page;
  const characters = page.bytes.subarray(0, characterEnd(page.bytes));
  const whole = characters.subarray(0, characters.length - unfinishedEscapeBytes(characters));
  return { start: page.start, bytes: whole.length > 0 ? whole : characters };
}

/** An offset past the end means the end: no bytes are in between, and new output starts there. */
function startOf(offset: number, totalBytes: number): number {
  return offset < 0 ? Math.max(0, totalBytes + offset) : Math.min(offset, totalBytes);
}

function totalOf(command: Command, stream: OutputStream | 'both'): number {
  if (stream === 'stdout') return command.stdoutBytes;
  if (stream === 'stderr') return command.stderrBytes;
  return command.stdoutBytes + command.stderrBytes;
}
