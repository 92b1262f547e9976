import type { Command, OutputStream } from '../../src/engines/engine.ts';
import type { CommandHandle } from '../../src/registry/types.ts';
import { annotatedOutputText, isBinary, omission } from '../../src/shared/text/output-text.ts';
import { plural } from '../../src/shared/text/text.ts';
import { characterEnd, characterStart } from '../../src/shared/text/utf8.ts';
import { endOf, readRange, type Span } from '../common/byte-range.ts';

/** Bytes of both streams together that a result shows. */
export const OUTPUT_BUDGET_BYTES = 32_768;
/** The head's share of a stream that does not fit; the tail usually says what went wrong. */
const HEAD_SHARE = 0.4;
/** A cut moves to a line break if there is one this close. */
const LINE_REACH_BYTES = 2_048;
/**
 * If the engine does not count lines, a longer gap is reported only in bytes: counting lines means reading
 * it.
 */
const MAX_COUNTED_BYTES = 4_194_304;

const NEWLINE = 0x0a;

export interface CapturedOutput {
  stdout: string;
  stderr: string;
  /** Whether anything of either stream is omitted. */
  truncated: boolean;
}

/**
 * Both streams of a command as readable text: complete if they fit the budget, else head and tail of each.
 */
export async function captureOutput(
  handle: CommandHandle,
  command: Command,
  signal: AbortSignal,
): Promise<CapturedOutput> {
  const { stdoutBytes, stderrBytes } = command;
  const forStderr = Math.min(
    stderrBytes,
    Math.max(OUTPUT_BUDGET_BYTES / 2, OUTPUT_BUDGET_BYTES - stdoutBytes),
  );
  const forStdout = Math.min(stdoutBytes, OUTPUT_BUDGET_BYTES - forStderr);
  const running = command.status === 'running';
  const source = { handle, running, signal };
  const stdout = await captureStream(source, 'stdout', stdoutBytes, forStdout);
  const stderr = await captureStream(source, 'stderr', stderrBytes, forStderr);
  return { stdout: stdout.text, stderr: stderr.text, truncated: stdout.cut || stderr.cut };
}

interface Source {
  handle: CommandHandle;
  /** More may follow at any time. */
  running: boolean;
  signal: AbortSignal;
}

async function captureStream(
  source: Source,
  stream: OutputStream,
  total: number,
  share: number,
): Promise<{ text: string; cut: boolean }> {
  const read = (start: number, end: number): Promise<Span[]> =>
    readRange(source.handle, { stream, start, end }, source.signal);
  const headEnd = share < total ? Math.floor(share * HEAD_SHARE) : total;
  const spans = await read(0, headEnd);
  if (share < total) spans.push(...(await read(total - (share - headEnd), total)));
  const unfinished = source.running ? cutUnfinished(spans, total) : 0;
  const shown = spans.map((span, index) => trim(span, span.start > 0, index < spans.length - 1));
  const readWith = `command_output command_id=${source.handle.commandId} stream=${stream}`;
  if (spans.some((span) => isBinary(span.bytes))) {
    return { text: binaryText(total, readWith), cut: true };
  }
  const pieces: string[] = [];
  let position = 0;
  let hasGap = false;
  const addGap = async (end: number): Promise<void> => {
    hasGap = true;
    pieces.push(await gapText(source, stream, position, end, readWith));
  };
  for (const span of shown) {
    if (span.start > position) await addGap(span.start);
    pieces.push(annotatedOutputText(span.bytes, `${readWith} offset=${span.start} encoding=base64`));
    position = endOf(span);
  }
  const end = total - unfinished;
  if (position < end) await addGap(end);
  return { text: joinLines(pieces), cut: hasGap };
}

/**
 * Removes an incomplete character from the end of the last span, whose remaining bytes are still to be
 * written. Returns the number of bytes removed.
 */
function cutUnfinished(spans: Span[], total: number): number {
  const last = spans.at(-1);
  if (last === undefined || endOf(last) < total) return 0;
  const kept = characterEnd(last.bytes);
  spans[spans.length - 1] = { start: last.start, bytes: last.bytes.subarray(0, kept) };
  return last.bytes.length - kept;
}

function binaryText(total: number, readWith: string): string {
  return `[${plural(total, 'byte')} of binary data; read with ${readWith} encoding=base64]`;
}

async function gapText(
  source: Source,
  stream: OutputStream,
  start: number,
  end: number,
  readWith: string,
): Promise<string> {
  const bytes = end - start;
  const reported = await source.handle.countLines({ stream, start, end }, source.signal);
  const readable = bytes <= MAX_COUNTED_BYTES;
  const lines = reported ?? (readable ? await countLines(source, stream, start, end) : null);
  return omission({ bytes, lines }, `${readWith} offset=${start}`);
}

/** Null if the log no longer holds all of it. */
async function countLines(
  source: Source,
  stream: OutputStream,
  start: number,
  end: number,
): Promise<number | null> {
  const spans = await readRange(source.handle, { stream, start, end }, source.signal);
  if (spans.reduce((sum, span) => sum + span.bytes.length, 0) < end - start) return null;
  let lines = 0;
  for (const { bytes } of spans) {
    for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, at + 1)) lines += 1;
  }
  return lines;
}

/** Moves cuts to a nearby line break if there is one, else to a character boundary. */
function trim(span: Span, cutBefore: boolean, cutAfter: boolean): Span {
  const { bytes } = span;
  let from = 0;
  let to = bytes.length;
  if (cutBefore) {
    const newline = bytes.indexOf(NEWLINE);
    const near = newline !== -1 && newline < LINE_REACH_BYTES && newline + 1 < bytes.length;
    from = near ? newline + 1 : characterStart(bytes);
  }
  if (cutAfter) {
    const newline = bytes.lastIndexOf(NEWLINE);
    to = newline >= from && to - newline < LINE_REACH_BYTES ? newline + 1 : characterEnd(bytes);
  }
  return { start: span.start + from, bytes: bytes.subarray(from, Math.max(from, to)) };
}

function joinLines(pieces: readonly string[]): string {
  let text = '';
  for (const piece of pieces) text += text === '' || text.endsWith('\n') ? piece : `\n${piece}`;
  return text;
}
