import { join } from 'node:path';
import { listDirectory } from '../../shared/fs/list-directory.ts';
import { readUntrusted, readUntrustedInto } from '../../shared/fs/untrusted-file.ts';
import type { OutputChunk, OutputSlice, OutputStream, ReadOutput } from '../engine.ts';
import {
  damagedLog,
  HEADER_BYTES,
  MAX_SEGMENT_BYTES,
  parseSegment,
  recordsOf,
  SEGMENT_NAME,
  type Segment,
  type Totals,
} from './log-format.ts';

/** More than a log ever has at once; a directory with more was not written by us. */
const MAX_SEGMENTS = 64;
const NEWLINE = 0x0a;

async function segmentNames(directory: string): Promise<string[]> {
  const names = (await listDirectory(directory)).filter((name) => SEGMENT_NAME.test(name)).sort();
  if (names.length > MAX_SEGMENTS) throw damagedLog();
  return names;
}

/**
 * The header of a segment, without its records. Null if the segment was dropped or its header is not complete
 * yet.
 */
async function readHeader(directory: string, name: string): Promise<Segment | null> {
  const bytes = await readUntrusted(join(directory, name), HEADER_BYTES);
  return bytes === null ? null : parseSegment(bytes);
}

/**
 * Unused buffers of a segment's size: allocating one per read creates garbage faster than it is collected.
 */
const spare: Buffer[] = [];
const MAX_SPARE = 2;

/**
 * The result of `use` on a segment; null if the segment was dropped or its header is not complete yet. `use`
 * must copy what it keeps: the buffer is reused.
 */
async function withSegment<Result>(
  directory: string,
  name: string,
  use: (segment: Segment) => Result,
): Promise<Result | null> {
  const buffer = spare.pop() ?? Buffer.allocUnsafeSlow(MAX_SEGMENT_BYTES);
  try {
    const bytes = await readUntrustedInto(join(directory, name), buffer);
    const segment = bytes === null ? null : parseSegment(bytes);
    return segment === null ? null : use(segment);
  } finally {
    if (spare.length < MAX_SPARE) spare.push(buffer);
  }
}

function totalsOf(segment: Segment): Totals {
  const totals = { ...segment.start };
  for (const { stream, data } of recordsOf(segment)) totals[stream] += data.length;
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

function startOf({ start }: Segment, stream: ReadOutput['stream']): number {
  return stream === 'both' ? start.stdout + start.stderr : start[stream];
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

/**
 * The segments that may hold bytes from `offset` on: the last one starting at or before it, and all later
 * ones.
 */
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
 * Newlines before an offset of a stream; null if the log no longer holds the bytes right before it. Earlier
 * bytes are not needed: each segment's header has the counts before it.
 */
async function linesBefore(directory: string, stream: OutputStream, offset: number): Promise<number | null> {
  const [name] = await segmentsFrom(directory, stream, offset);
  if (name === undefined) return null;
  return withSegment(directory, name, (segment) => linesWithin(segment, stream, offset));
}

function linesWithin(segment: Segment, stream: OutputStream, offset: number): number | null {
  if (segment.linesBefore === null) return null;
  let at = startOf(segment, stream);
  let lines = segment.linesBefore[stream];
  for (const record of recordsOf(segment)) {
    if (record.stream !== stream || at >= offset) continue;
    const data = record.data.subarray(0, offset - at);
    for (let end = data.indexOf(NEWLINE); end !== -1; end = data.indexOf(NEWLINE, end + 1)) lines += 1;
    at += data.length;
  }
  return at === offset ? lines : null;
}

/**
 * Newlines among the bytes `[start, end)` of a stream, dropped ones included; null if the log does not hold
 * either end.
 */
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
    for (const { stream, data } of recordsOf(segment)) {
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
  return { chunks: joined(chunks), nextOffset: Math.max(next, from), totalBytes, droppedBytes: dropped };
}

/** Merges neighbouring chunks of one stream: how the output arrived is not visible to callers. */
function joined(chunks: readonly OutputChunk[]): OutputChunk[] {
  const groups: { stream: OutputStream; offset: number; parts: Buffer[]; end: number }[] = [];
  for (const { stream, offset, data } of chunks) {
    const last = groups.at(-1);
    if (last?.stream === stream && last.end === offset) {
      last.parts.push(data);
      last.end += data.length;
    } else groups.push({ stream, offset, parts: [data], end: offset + data.length });
  }
  return groups.map(({ stream, offset, parts: [first, ...rest] }) => ({
    stream,
    offset,
    data: first === undefined || rest.length > 0 ? Buffer.concat([first ?? Buffer.alloc(0), ...rest]) : first,
  }));
}
