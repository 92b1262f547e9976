/**
 * The format of a command's bounded log (docs/agent-protocol.md, "Logs"). The agent writes it in a sandbox of
 * the `oci` engine, `LogWriter` on this machine for other engines. Nothing in a log is trusted.
 */
import { SandboxError } from '../../shared/errors.ts';
import type { OutputStream } from '../engine.ts';

const MAGIC = Buffer.from('SBXLOG2\n');
export const HEADER_BYTES = 48;
const RECORD_HEADER_BYTES = 8;
export const MAX_RECORD_BYTES = 65_536;
/** A segment is closed once it has this size; its last record may exceed that. */
export const SEGMENT_BYTES = 1_048_576;
export const MAX_SEGMENT_BYTES = SEGMENT_BYTES + RECORD_HEADER_BYTES + MAX_RECORD_BYTES;
/** Segments kept from the beginning and from the end. */
export const HEAD_SEGMENTS = 8;
export const TAIL_SEGMENTS = 24;
export const SEGMENT_NAME = /^\d{8}\.log$/;
/** Earlier versions of the `vercel` engine wrote neither the magic nor newline counts. */
const OLD_HEADER_BYTES = 16;
const OLD_RECORD_HEADER_BYTES = 5;

/** A number for each stream. */
export interface Totals {
  stdout: number;
  stderr: number;
}

export interface Segment {
  /** Bytes of each stream before this segment. */
  start: Totals;
  /** Newlines of each stream among those bytes; null if they were not counted. */
  linesBefore: Totals | null;
  bytes: Buffer;
  isOld: boolean;
}

export interface LogRecord {
  stream: OutputStream;
  data: Buffer;
}

export function damagedLog(): SandboxError {
  return new SandboxError('server', 'The output log of this command is damaged.', {
    hint: 'sandbox_get_command still returns its exit code; run the command again only if that is safe.',
  });
}

export function segmentName(index: number): string {
  return `${String(index).padStart(8, '0')}.log`;
}

/** The header of a segment, given what the command has written before it. */
export function encodeHeader(index: number, bytes: Totals, lines: Totals): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  MAGIC.copy(header);
  header.writeUInt32LE(index, 8);
  for (const [field, count] of [bytes.stdout, bytes.stderr, lines.stdout, lines.stderr].entries()) {
    header.writeBigUInt64LE(BigInt(count), 16 + 8 * field);
  }
  return header;
}

/** What precedes a record's data, which has 1 to `MAX_RECORD_BYTES` bytes. */
export function encodeRecordHeader(stream: OutputStream, length: number): Buffer {
  const header = Buffer.alloc(RECORD_HEADER_BYTES);
  header.writeUInt8(stream === 'stdout' ? 1 : 2, 0);
  header.writeUInt32LE(length, 4);
  return header;
}

/** Null if the header is not complete yet. @throws `server` for a damaged one */
export function parseSegment(bytes: Buffer): Segment | null {
  const isOld = !bytes.subarray(0, MAGIC.length).equals(MAGIC);
  if (bytes.length < (isOld ? OLD_HEADER_BYTES : HEADER_BYTES)) return null;
  const count = (at: number) => Number(bytes.readBigUInt64LE(at));
  const pair = (at: number): Totals => ({ stdout: count(at), stderr: count(at + 8) });
  const start = pair(isOld ? 0 : 16);
  if (!Number.isSafeInteger(start.stdout + start.stderr)) throw damagedLog();
  return { start, linesBefore: isOld ? null : pair(32), bytes, isOld };
}

/**
 * The complete records of a segment; an incomplete last one is still being written. @throws `server` for a
 * damaged one
 */
export function* recordsOf({ bytes, isOld }: Segment): Generator<LogRecord> {
  const headerBytes = isOld ? OLD_RECORD_HEADER_BYTES : RECORD_HEADER_BYTES;
  let at = isOld ? OLD_HEADER_BYTES : HEADER_BYTES;
  while (at + headerBytes <= bytes.length) {
    const tag = bytes.readUInt8(at);
    const length = bytes.readUInt32LE(at + headerBytes - 4);
    if ((tag !== 1 && tag !== 2) || length === 0 || length > MAX_RECORD_BYTES) throw damagedLog();
    at += headerBytes;
    if (at + length > bytes.length) return;
    yield { stream: tag === 1 ? 'stdout' : 'stderr', data: bytes.subarray(at, at + length) };
    at += length;
  }
}
