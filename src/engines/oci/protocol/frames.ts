/** The agent's wire format (docs/agent-protocol.md): frames and their fields. */
import { SandboxError } from '../../../shared/errors.ts';

export const PROTOCOL_VERSION = 1;

export const FRAME = {
  PING: 1,
  DEADLINE: 2,
  RUN: 3,
  STAT_REQUEST: 4,
  MKDIR: 5,
  READ: 6,
  WRITE: 7,
  TREE_READ: 8,
  TREE_WRITE: 9,
  CONNECT: 10,
  SHUTDOWN: 11,
  SHELL: 12,
  LIST: 13,
  SCAN: 14,
  LISTENERS: 15,
  ATTACH: 20,
  KILL: 21,
  RESIZE: 22,
  OK: 64,
  ERROR: 65,
  STARTED: 66,
  OUTPUT: 67,
  EXIT: 68,
  STAT: 69,
  ENTRY: 70,
  DATA: 71,
  END: 72,
} as const;

export const TAG = {
  ms: 1,
  id: 2,
  argv: 3,
  env: 4,
  cwd: 5,
  sudo: 6,
  timeoutMs: 7,
  graceMs: 8,
  nproc: 9,
  path: 10,
  offset: 11,
  limit: 12,
  mode: 13,
  port: 14,
  signal: 15,
  cause: 16,
  cols: 17,
  rows: 18,
  paths: 19,
  after: 20,
  details: 21,
  literals: 22,
  fold: 23,
  stdin: 24,
  protocol: 40,
  remainingMs: 41,
  files: 42,
  bytes: 43,
  signalled: 44,
  egress: 45,
  fileTimes: 46,
  errno: 50,
  what: 51,
  errorPath: 52,
  stdoutBytes: 54,
  stderrBytes: 55,
  kind: 56,
  size: 57,
  statMode: 58,
  mtimeMs: 59,
  entryPath: 60,
  link: 61,
  changedUs: 62,
  exitCode: 70,
  exitSignal: 71,
  exitCause: 72,
  durationMs: 74,
  exitStdoutBytes: 75,
  exitStderrBytes: 76,
} as const;

/** The largest body either side accepts. */
export const MAX_BODY = 2_097_152;
export const MAX_DATA = 65_536;
/** `mode` of a WRITE that keeps the existing file's mode, or uses 0644 for a new one. */
export const KEEP_MODE = 0xffff_ffff_ffff_ffffn;

const HEADER = 5;
const NUMBER_BYTES = 8;

export interface Frame {
  type: number;
  body: Buffer;
}

export type FieldValue = string | Buffer | number | bigint;

function protocolError(what: string): SandboxError {
  return new SandboxError('server', `The sandbox's agent violated the protocol: ${what}.`, {
    hint: 'The sandbox may be damaged; stop it with sandbox_stop and create a new one.',
  });
}

/** The header for a body of this length. */
export function encodeHeader(type: number, length: number): Buffer {
  const header = Buffer.allocUnsafe(HEADER);
  header.writeUInt32LE(length, 0);
  header.writeUInt8(type, 4);
  return header;
}

/** Encodes one frame. */
export function encodeFrame(type: number, body: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([encodeHeader(type, body.length), body]);
}

/** Encodes fields as a body; numbers take 8 bytes. */
export function encodeFields(fields: readonly (readonly [tag: number, value: FieldValue])[]): Buffer {
  // One allocation: a tree of files has an entry for each.
  const body = Buffer.allocUnsafe(fields.reduce((sum, [, value]) => sum + HEADER + sizeOf(value), 0));
  let at = 0;
  for (const [tag, value] of fields) {
    const size = sizeOf(value);
    body.writeUInt8(tag, at);
    body.writeUInt32LE(size, at + 1);
    at += HEADER;
    if (typeof value === 'string') body.write(value, at);
    else if (typeof value === 'object') value.copy(body, at);
    else body.writeBigUInt64LE(BigInt(value), at);
    at += size;
  }
  return body;
}

/** The bytes of a field's value. */
function sizeOf(value: FieldValue): number {
  if (typeof value === 'string') return Buffer.byteLength(value);
  return typeof value === 'object' ? value.length : NUMBER_BYTES;
}

/** The fields of a body by tag; the last value of a repeated tag wins, since answers have no lists. */
export class Fields {
  readonly #values = new Map<number, Buffer>();

  /** Throws `server` if the body is not a list of fields. */
  constructor(body: Buffer) {
    let at = 0;
    while (at < body.length) {
      if (body.length - at < HEADER) throw protocolError('a field is cut short');
      const tag = body.readUInt8(at);
      const length = body.readUInt32LE(at + 1);
      at += HEADER;
      if (length > body.length - at) throw protocolError(`field ${tag} is cut short`);
      this.#values.set(tag, body.subarray(at, at + length));
      at += length;
    }
  }

  /** A number field; throws `server` if it is missing, not 8 bytes long or above 2^53. */
  number(tag: number): number {
    const bytes = this.#values.get(tag);
    if (bytes?.length !== NUMBER_BYTES) throw protocolError(`number ${tag} is missing`);
    const value = Number(bytes.readBigUInt64LE());
    if (!Number.isSafeInteger(value)) throw protocolError(`number ${tag} is too large`);
    return value;
  }

  /** A number field, or null if it is missing: an agent of an earlier version does not send it. */
  optionalNumber(tag: number): number | null {
    return this.#values.has(tag) ? this.number(tag) : null;
  }

  /** A text field, empty if missing. */
  text(tag: number): string {
    return this.#values.get(tag)?.toString('utf8') ?? '';
  }
}

/**
 * Splits a byte stream into frames, one at a time, because raw bytes may follow a frame. A `DATA` body is
 * returned in pieces as they arrive, as several frames: file contents are never joined here.
 */
export class FrameParser {
  #chunks: Buffer[] = [];
  #length = 0;
  /** Bytes that remain of the current `DATA` body. */
  #dataLeft = 0;

  /** Bytes fed and not consumed. */
  get length(): number {
    return this.#length;
  }

  feed(chunk: Buffer): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  /** The next frame, or null until more is fed. Throws `server` on a body that is too large. */
  take(): Frame | null {
    if (this.#dataLeft > 0) return this.#takeData();
    const header = this.#front(HEADER);
    if (header === null) return null;
    const length = header.readUInt32LE(0);
    const type = header.readUInt8(4);
    if (length > MAX_BODY) throw protocolError(`a frame of ${length} bytes`);
    if (type === FRAME.DATA && length > 0) {
      this.#drop(HEADER);
      this.#dataLeft = length;
      return this.#takeData();
    }
    const whole = this.#front(HEADER + length);
    if (whole === null) return null;
    this.#drop(HEADER + length);
    return { type, body: whole.subarray(HEADER) };
  }

  /** Returns the bytes fed and not consumed. */
  rest(): Buffer {
    const rest = Buffer.concat(this.#chunks);
    this.#chunks = [];
    this.#length = 0;
    return rest;
  }

  #takeData(): Frame | null {
    const first = this.#chunks[0];
    if (first === undefined) return null;
    const body = first.subarray(0, this.#dataLeft);
    this.#dataLeft -= body.length;
    this.#drop(body.length);
    return { type: FRAME.DATA, body };
  }

  /** The first bytes as one buffer, or null if there are fewer. */
  #front(length: number): Buffer | null {
    if (this.#length < length) return null;
    let [first = Buffer.alloc(0)] = this.#chunks;
    if (first.length < length) {
      let count = 0;
      for (let size = 0; size < length; count++) size += this.#chunks[count]?.length ?? 0;
      first = Buffer.concat(this.#chunks.slice(0, count));
      this.#chunks.splice(0, count, first);
    }
    return first.subarray(0, length);
  }

  /** Drops the first bytes, which are in one buffer. */
  #drop(length: number): void {
    const [first] = this.#chunks;
    this.#length -= length;
    if (first === undefined || first.length === length) this.#chunks.shift();
    else this.#chunks[0] = first.subarray(length);
  }
}
