/**
 * Writes the bounded log of a command's output: head and tail, and an exact count of what was dropped
 * between.
 */
import { closeSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { OutputStream } from '../engine.ts';
import {
  encodeHeader,
  encodeRecordHeader,
  HEAD_SEGMENTS,
  HEADER_BYTES,
  MAX_RECORD_BYTES,
  SEGMENT_BYTES,
  segmentName,
  TAIL_SEGMENTS,
  type Totals,
} from './log-format.ts';

/** Records smaller than this are written together. */
const BUFFERED_BYTES = 65_536;
const NEWLINE = 0x0a;

/** Appends to a log. One process writes it; `readLog` reads it. */
export class LogWriter {
  readonly directory: string;
  readonly totals: Totals = { stdout: 0, stderr: 0 };
  readonly #lines: Totals = { stdout: 0, stderr: 0 };
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
    for (let at = 0; at < data.length; at += MAX_RECORD_BYTES) {
      this.#appendRecord(stream, data.subarray(at, at + MAX_RECORD_BYTES));
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
    const header = encodeRecordHeader(stream, data.length);
    this.#buffer.push(header, Buffer.from(data));
    this.#buffered += header.length + data.length;
    this.#fileBytes += header.length + data.length;
    this.totals[stream] += data.length;
    for (let at = data.indexOf(NEWLINE); at !== -1; at = data.indexOf(NEWLINE, at + 1)) {
      this.#lines[stream] += 1;
    }
    if (this.#buffered >= BUFFERED_BYTES) this.flush();
  }

  #nextSegment(): void {
    this.close();
    const name = segmentName(this.#made);
    this.#segments.push(name);
    this.#file = openSync(join(this.directory, name), 'wx', 0o600);
    writeSync(this.#file, encodeHeader(this.#made, this.totals, this.#lines));
    this.#fileBytes = HEADER_BYTES;
    this.#made += 1;
    if (this.#segments.length <= HEAD_SEGMENTS + TAIL_SEGMENTS) return;
    const [dropped] = this.#segments.splice(HEAD_SEGMENTS, 1);
    if (dropped !== undefined) rmSync(join(this.directory, dropped), { force: true });
  }
}
