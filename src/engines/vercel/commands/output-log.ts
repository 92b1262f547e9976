/**
 * The bounded log of a command's output on this machine: head and tail, and an exact count of what was dropped between.
 */
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { systemErrorCode } from '../../../shared/errors.ts';
import type { OutputChunk, OutputSlice, OutputStream, ReadOutput } from '../../engine.ts';

const SEGMENT_BYTES = 1_048_576;
/** Segments kept from the beginning and from the end: the same 8 and 24 MiB as in every engine. */
const HEAD_SEGMENTS = 8;
const TAIL_SEGMENTS = 24;
/** Records smaller than this are written together. */
const BUFFERED_BYTES = 65_536;
/** Bytes of each stream that came before the segment. */
const SEGMENT_HEADER = 16;
/** One byte for the stream, four for the length. */
const RECORD_HEADER = 5;
const SEGMENT_NAME = /^\d{8}\.log$/;

export interface Totals {
  stdout: number;
  stderr: number;
}

/** Appends to a log. One process writes it; `readCaptured` reads it. */
export class CaptureLog {
  readonly directory: string;
  readonly totals: Totals = { stdout: 0, stderr: 0 };
  readonly #segments: string[] = [];
  #made = 0;
  #file: number | null = null;
  #fileBytes = 0;
  #buffer: Buffer[] = [];
  #buffered = 0;

  /** The directory is created with access for this user only. */
  constructor(directory: string) {
    this.directory = directory;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  append(stream: OutputStream, data: Buffer): void {
    for (let at = 0; at < data.length; at += BUFFERED_BYTES) {
      this.#appendRecord(stream, data.subarray(at, at + BUFFERED_BYTES));
    }
  }

  /** Makes everything appended so far readable. */
  flush(): void {
    if (this.#file === null || this.#buffered === 0) return;
    const bytes = Buffer.concat(this.#buffer);
    for (let at = 0; at < bytes.length; ) at += writeSync(this.#file, bytes, at);
    this.#buffer = [];
    this.#buffered = 0;
  }

  close(): void {
    this.flush();
    if (this.#file !== null) closeSync(this.#file);
    this.#file = null;
  }

  #appendRecord(stream: OutputStream, data: Buffer): void {
    if (this.#file === null || this.#fileBytes >= SEGMENT_BYTES) this.#nextSegment();
    const header = Buffer.alloc(RECORD_HEADER);
    header.writeUInt8(stream === 'stdout' ? 1 : 2, 0);
    header.writeUInt32LE(data.length, 1);
    this.#buffer.push(header, Buffer.from(data));
    this.#buffered += RECORD_HEADER + data.length;
    this.#fileBytes += RECORD_HEADER + data.length;
    this.totals[stream] += data.length;
    if (this.#buffered >= BUFFERED_BYTES) this.flush();
  }

  #nextSegment(): void {
    this.close();
    const name = `${String(this.#made).padStart(8, '0')}.log`;
    this.#made += 1;
    this.#segments.push(name);
    this.#file = openSync(join(this.directory, name), 'wx', 0o600);
    const header = Buffer.alloc(SEGMENT_HEADER);
    header.writeBigUInt64LE(BigInt(this.totals.stdout), 0);
    header.writeBigUInt64LE(BigInt(this.totals.stderr), 8);
    writeSync(this.#file, header);
    this.#fileBytes = 0;
    if (this.#segments.length <= HEAD_SEGMENTS + TAIL_SEGMENTS) return;
    const [dropped] = this.#segments.splice(HEAD_SEGMENTS, 1);
    if (dropped !== undefined) rmSync(join(this.directory, dropped), { force: true });
  }
}

/**
 * Reads captured output.
 *
 * @param totals all that was captured, as stored in its record
 */
export function readCaptured(directory: string, request: ReadOutput, totals: Totals): OutputSlice {
  const all = { ...totals, both: totals.stdout + totals.stderr }[request.stream];
  const from = request.offset < 0 ? Math.max(0, all + request.offset) : request.offset;
  const chunks: OutputChunk[] = [];
  let next = from;
  let dropped = 0;
  let budget = request.limit;
  for (const record of from < all ? recordsFrom(directory, request.stream, from) : []) {
    const start = Math.max(next, record.offset);
    const end = Math.min(all, record.offset + record.data.length, start + budget);
    if (start >= end) continue;
    dropped += start - next;
    const data = record.data.subarray(start - record.offset, end - record.offset);
    chunks.push({ stream: record.stream, offset: start, data });
    next = end;
    budget -= data.length;
    if (budget <= 0 || next >= all) break;
  }
  // Counted but no longer present, after everything that is.
  if (budget > 0 && next < all) {
    dropped += all - next;
    next = all;
  }
  return { chunks: joined(chunks), nextOffset: Math.max(next, from), totalBytes: all, droppedBytes: dropped };
}

/** The records of the selected sequence, starting at the segment that may hold `offset`. */
function* recordsFrom(directory: string, stream: ReadOutput['stream'], offset: number) {
  const names = segmentNames(directory);
  const heads = names.map((name) => ({ name, start: segmentStart(join(directory, name), stream) }));
  let first = 0;
  for (const [index, { start }] of heads.entries()) if (start !== null && start <= offset) first = index;
  for (const { name, start } of heads.slice(first)) {
    if (start === null) continue;
    let at = start;
    for (const record of recordsOf(readFileSync(join(directory, name)))) {
      if (stream !== 'both' && stream !== record.stream) continue;
      yield { ...record, offset: at };
      at += record.data.length;
    }
  }
}

function segmentNames(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => SEGMENT_NAME.test(name))
      .sort();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return [];
    throw error;
  }
}

/** Null if the segment holds no complete header yet. */
function segmentStart(path: string, stream: ReadOutput['stream']): number | null {
  const bytes = Buffer.alloc(SEGMENT_HEADER);
  const file = openSync(path, 'r');
  try {
    if (readSync(file, bytes) < SEGMENT_HEADER) return null;
  } finally {
    closeSync(file);
  }
  const totals = { stdout: Number(bytes.readBigUInt64LE(0)), stderr: Number(bytes.readBigUInt64LE(8)) };
  return stream === 'both' ? totals.stdout + totals.stderr : totals[stream];
}

/** The complete records of a segment; a truncated last one is still being written. */
function* recordsOf(bytes: Buffer): Generator<{ stream: OutputStream; data: Buffer }> {
  for (let at = SEGMENT_HEADER; at + RECORD_HEADER <= bytes.length; ) {
    const length = bytes.readUInt32LE(at + 1);
    const stream = bytes.readUInt8(at) === 1 ? 'stdout' : 'stderr';
    at += RECORD_HEADER;
    if (at + length > bytes.length) return;
    yield { stream, data: bytes.subarray(at, at + length) };
    at += length;
  }
}

/** Merges neighbouring records of one stream into one chunk: the platform's chunking is not visible to callers. */
function joined(chunks: OutputChunk[]): OutputChunk[] {
  const result: { stream: OutputStream; offset: number; parts: Buffer[]; end: number }[] = [];
  for (const { stream, offset, data } of chunks) {
    const last = result.at(-1);
    if (last !== undefined && last.stream === stream && last.end === offset) {
      last.parts.push(data);
      last.end += data.length;
    } else result.push({ stream, offset, parts: [data], end: offset + data.length });
  }
  return result.map(({ stream, offset, parts }) => ({ stream, offset, data: Buffer.concat(parts) }));
}

/** Totals of a log whose writer is gone, derived from its segments. */
export function capturedTotals(directory: string): Totals {
  const name = segmentNames(directory).at(-1);
  if (name === undefined) return { stdout: 0, stderr: 0 };
  const bytes = readFileSync(join(directory, name));
  if (bytes.length < SEGMENT_HEADER) return { stdout: 0, stderr: 0 };
  const totals = { stdout: Number(bytes.readBigUInt64LE(0)), stderr: Number(bytes.readBigUInt64LE(8)) };
  for (const { stream, data } of recordsOf(bytes)) totals[stream] += data.length;
  return totals;
}
