/** Reads the bounded log of a command (docs/agent-protocol.md, "Logs"). All of it is untrusted. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';
import type { OutputChunk, OutputSlice, OutputStream, ReadOutput } from '../../engine.ts';
import { readUntrusted, readUntrustedInto } from '../protocol/untrusted-file.ts';

const MAGIC = 'SBXLOG2\n';
const HEADER_BYTES = 48;
const RECORD_HEADER_BYTES = 8;
const MAX_RECORD = 65_536;
/** A segment is closed after 1 MiB; its last record may exceed that. */
const MAX_SEGMENT = 1_048_576 + RECORD_HEADER_BYTES + MAX_RECORD;
const MAX_SEGMENTS = 64;
const NEWLINE = 0x0a;
const SEGMENT_NAME = /^\d{8}\.log$/;

interface Segment {
  /** Bytes of each stream before this segment. */
  stdoutStart: number;
  stderrStart: number;
  /** Newlines of each stream among those bytes. */
  linesBefore: Totals;
  bytes: Buffer;
}

interface Totals {
  stdout: number;
  stderr: number;
}

function damaged(): SandboxError {
  return new SandboxError('server', 'The output log of this command is damaged.', {
    hint: 'sandbox_get_command still returns its exit code; run the command again only if that is safe.',
  });
}

async function segmentNames(directory: string): Promise<string[]> {
  try {
    const names = (await readdir(directory)).filter((name) => SEGMENT_NAME.test(name)).sort();
    if (names.length > MAX_SEGMENTS) throw damaged();
    return names;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Null if the header is not complete yet. */
function parseSegment(bytes: Buffer): Segment | null {
  if (bytes.length < HEADER_BYTES) return null;
  if (bytes.toString('latin1', 0, MAGIC.length) !== MAGIC) throw damaged();
  const stdoutStart = Number(bytes.readBigUInt64LE(16));
  const stderrStart = Number(bytes.readBigUInt64LE(24));
  if (!Number.isSafeInteger(stdoutStart + stderrStart)) throw damaged();
  const linesBefore = {
    stdout: Number(bytes.readBigUInt64LE(32)),
    stderr: Number(bytes.readBigUInt64LE(40)),
  };
  return { stdoutStart, stderrStart, linesBefore, bytes };
}

/** The header of a segment, without its records. Null if the segment was dropped or its header is not complete yet. */
async function readHeader(directory: string, name: string): Promise<Segment | null> {
  const bytes = await readUntrusted(join(directory, name), HEADER_BYTES);
  return bytes === null ? null : parseSegment(bytes);
}

/** Unused buffers of a segment's size: allocating one per read creates garbage faster than it is collected. */
const spare: Buffer[] = [];
const MAX_SPARE = 2;

/**
 * The result of `use` on a segment; null if the segment was dropped or its header is not complete yet. `use` must copy what it
 * keeps: the buffer is reused.
 */
async function withSegment<Result>(
  directory: string,
  name: string,
  use: (segment: Segment) => Result,
): Promise<Result | null> {
  const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(MAX_SEGMENT);
  try {
    const bytes = await readUntrustedInto(join(directory, name), buffer);
    const segment = bytes === null ? null : parseSegment(bytes);
    return segment === null ? null : use(segment);
  } finally {
    if (spare.length < MAX_SPARE) spare.push(buffer);
  }
}

/** The complete records of a segment; an incomplete last one is still being written. */
function* records(segment: Segment): Generator<{ stream: OutputStream; data: Buffer }> {
  const { bytes } = segment;
  let at = HEADER_BYTES;
  while (at + RECORD_HEADER_BYTES <= bytes.length) {
    const tag = bytes.readUInt8(at);
    const length = bytes.readUInt32LE(at + 4);
    if ((tag !== 1 && tag !== 2) || length === 0 || length > MAX_RECORD) throw damaged();
    at += RECORD_HEADER_BYTES;
    if (at + length > bytes.length) return;
    yield { stream: tag === 1 ? 'stdout' : 'stderr', data: bytes.subarray(at, at + length) };
    at += length;
  }
}

function totalsOf(segment: Segment): Totals {
  const totals = { stdout: segment.stdoutStart, stderr: segment.stderrStart };
  for (const { stream, data } of records(segment)) totals[stream] += data.length;
  return totals;
}

/** Bytes that a command had written when its log was last appended to. */
export async function readLogTotals(directory: string): Promise<Totals> {
  const names = await segmentNames(directory);
  for (const name of names.reverse()) {
    const totals = await withSegment(directory, name, totalsOf);
    if (totals !== null) return totals;
  }
  return { stdout: 0, stderr: 0 };
}

function startOf(segment: Segment, stream: ReadOutput['stream']): number {
  if (stream === 'both') return segment.stdoutStart + segment.stderrStart;
  return stream === 'stdout' ? segment.stdoutStart : segment.stderrStart;
}

/** The part of a record's data within [from, to), or null. */
function cut(
  data: Buffer,
  offset: number,
  from: number,
  to: number,
): { data: Buffer; offset: number } | null {
  const start = Math.max(from, offset);
  const end = Math.min(to, offset + data.length);
  return start < end ? { data: data.subarray(start - offset, end - offset), offset: start } : null;
}

/** The segments that may hold bytes from `offset` on: the last one starting at or before it, and all later ones. */
async function segmentsFrom(
  directory: string,
  stream: ReadOutput['stream'],
  offset: number,
): Promise<string[]> {
  const names = await segmentNames(directory);
  let first = 0;
  for (const [index, name] of names.entries()) {
    const head = await readHeader(directory, name);
    if (head !== null && startOf(head, stream) <= offset) first = index;
    else if (head !== null) break;
  }
  return names.slice(first);
}

/**
 * Newlines before an offset of a stream; null if the log no longer holds the bytes right before it. Earlier bytes are not
 * needed: each segment's header has the counts before it.
 */
async function linesBefore(directory: string, stream: OutputStream, offset: number): Promise<number | null> {
  const [name] = await segmentsFrom(directory, stream, offset);
  if (name === undefined) return null;
  return withSegment(directory, name, (segment) => linesWithin(segment, stream, offset));
}

function linesWithin(segment: Segment, stream: OutputStream, offset: number): number | null {
  let at = startOf(segment, stream);
  let lines = segment.linesBefore[stream];
  for (const record of records(segment)) {
    if (record.stream !== stream || at >= offset) continue;
    const data = record.data.subarray(0, offset - at);
    for (let end = data.indexOf(NEWLINE); end !== -1; end = data.indexOf(NEWLINE, end + 1)) lines += 1;
    at += data.length;
  }
  return at === offset ? lines : null;
}

/** Newlines among the bytes `[start, end)` of a stream, dropped ones included; null if the log does not hold either end. */
export async function countLines(
  directory: string,
  { stream, start, end }: { stream: OutputStream; start: number; end: number },
): Promise<number | null> {
  const before = await linesBefore(directory, stream, start);
  const upTo = await linesBefore(directory, stream, end);
  const lines = before === null || upTo === null ? null : upTo - before;
  return lines !== null && Number.isSafeInteger(lines) && lines >= 0 && lines <= end - start ? lines : null;
}

/**
 * Reads captured output.
 * @param totalBytes all bytes of the selected stream so far, from the command's state
 */
export async function readLog(
  directory: string,
  request: ReadOutput,
  totalBytes: number,
): Promise<OutputSlice> {
  const from = request.offset < 0 ? Math.max(0, totalBytes + request.offset) : request.offset;
  const chunks: OutputChunk[] = [];
  let next = from;
  let dropped = 0;
  let budget = request.limit;
  const take = (segment: Segment): void => {
    let offset = startOf(segment, request.stream);
    for (const { stream, data } of records(segment)) {
      if (request.stream !== 'both' && request.stream !== stream) continue;
      const part = cut(data, offset, next, Math.min(totalBytes, Math.max(next, offset) + budget));
      offset += data.length;
      if (part === null) continue;
      dropped += part.offset - next;
      chunks.push({ stream, offset: part.offset, data: Buffer.from(part.data) });
      next = part.offset + part.data.length;
      budget -= part.data.length;
      if (budget <= 0) return;
    }
  };
  for (const name of from < totalBytes ? await segmentsFrom(directory, request.stream, from) : []) {
    await withSegment(directory, name, take);
    if (budget <= 0 || next >= totalBytes) break;
  }
  // Bytes that are counted but not in the log come after everything in it: they were lost at the very end.
  if (budget > 0 && next < totalBytes) {
    dropped += totalBytes - next;
    next = totalBytes;
  }
  return { chunks, nextOffset: Math.max(next, from), totalBytes, droppedBytes: dropped };
}
