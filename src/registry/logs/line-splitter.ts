import type { OutputChunk, OutputStream } from '../../engines/engine.ts';
import { characterEnd, characterStart } from '../../shared/text/utf8.ts';
import type { Positions } from '../types.ts';

const NEWLINE = 0x0a;
const STREAMS: readonly OutputStream[] = ['stdout', 'stderr'];
/** A longer line is returned in pieces. */
const MAX_LINE_BYTES = 16_384;
/** An unfinished line this far behind (a prompt while the other stream is busy) is returned as is. */
const MAX_LAG_BYTES = 262_144;

/** One line of one stream; offsets are those of the interleaved sequence. */
export interface Line {
  stream: OutputStream;
  bytes: Buffer;
  start: number;
  /** After its newline. */
  end: number;
}

interface Pending {
  start: number;
  end: number;
  parts: Buffer[];
  length: number;
}

/**
 * Splits interleaved output into lines, separately for each stream, in the order in which the lines were
 * completed.
 */
export class LineSplitter {
  readonly #from: Positions;
  readonly #pending: Record<OutputStream, Pending | null> = { stdout: null, stderr: null };
  /** The end of the last line taken of each stream. */
  readonly #taken: Positions;
  #offset: number;
  /** Streams with no output since bytes were dropped. */
  readonly #afterGap = new Set<OutputStream>();
  #cutBytes = 0;

  constructor(from: Positions) {
    this.#from = from;
    this.#taken = { ...from };
    this.#offset = Math.min(from.stdout, from.stderr);
  }

  /** The offset at which reading continues. */
  get offset(): number {
    return this.#offset;
  }

  /** Bytes that are omitted as well: remainders of characters cut by dropped bytes. */
  get cutBytes(): number {
    return this.#cutBytes;
  }

  /**
   * Continues at `offset`; if bytes are missing before it, unfinished lines end there, with a whole
   * character.
   */
  *skipTo(offset: number): Generator<Line> {
    if (offset <= this.#offset) return;
    for (const line of this.rest()) {
      const bytes = line.bytes.subarray(0, characterEnd(line.bytes));
      this.#cutBytes += line.bytes.length - bytes.length;
      yield { ...line, bytes };
    }
    this.#offset = offset;
    for (const stream of STREAMS) this.#afterGap.add(stream);
  }

  /**
   * The lines that a chunk completes. Stopping between two of them loses nothing: `positions` records the
   * place.
   */
  *lines(chunk: OutputChunk): Generator<Line> {
    const { stream } = chunk;
    const known = Math.max(0, this.#from[stream] - chunk.offset);
    let at = Math.min(known, chunk.data.length);
    if (this.#afterGap.delete(stream) && at === 0) {
      at = characterStart(chunk.data);
      this.#cutBytes += at;
    }
    while (at < chunk.data.length) {
      const newline = chunk.data.indexOf(NEWLINE, at);
      const end = newline === -1 ? chunk.data.length : newline;
      this.#hold(stream, chunk.offset + at, chunk.data.subarray(at, end));
      at = newline === -1 ? end : end + 1;
      if (newline !== -1) yield this.#take(stream, chunk.offset + at);
      else yield* this.#tooLong(stream);
    }
    this.#offset = Math.max(this.#offset, chunk.offset + chunk.data.length);
    yield* this.#lagging();
  }

  /** Returns the unfinished lines. */
  *rest(): Generator<Line> {
    for (const { stream, end } of this.#unfinished()) yield this.#take(stream, end);
  }

  /** The unfinished lines, up to their last complete character. They are not consumed. */
  *unfinished(): Generator<Line> {
    for (const { stream, start, end } of this.#unfinished()) {
      const whole = Buffer.concat(this.#pending[stream]?.parts ?? []);
      const bytes = whole.subarray(0, characterEnd(whole));
      if (bytes.length > 0) yield { stream, bytes, start, end };
    }
  }

  /** Where to resume after the last line taken, or after everything read if no line is given. */
  positions(last: Line | null): Positions {
    const place = (stream: OutputStream): number => {
      if (last?.stream === stream) return last.end;
      return this.#pending[stream]?.start ?? Math.max(this.#taken[stream], last?.end ?? this.#offset);
    };
    return { stdout: place('stdout'), stderr: place('stderr') };
  }

  #hold(stream: OutputStream, start: number, bytes: Buffer): void {
    const pending = this.#pending[stream] ?? { start, end: start, parts: [], length: 0 };
    pending.parts.push(bytes);
    pending.length += bytes.length;
    pending.end = start + bytes.length;
    this.#pending[stream] = pending;
  }

  #take(stream: OutputStream, end: number): Line {
    const pending = this.#pending[stream];
    this.#pending[stream] = null;
    this.#taken[stream] = end;
    return { stream, bytes: Buffer.concat(pending?.parts ?? []), start: pending?.start ?? end, end };
  }

  *#tooLong(stream: OutputStream): Generator<Line> {
    const pending = this.#pending[stream];
    if (pending === null || pending.length < MAX_LINE_BYTES) return;
    const last = pending.parts.at(-1);
    // The piece ends with a complete character if possible; an incomplete one at its end stays pending.
    const cut = last === undefined ? 0 : last.length - characterEnd(last);
    const remainder = last === undefined || cut === 0 ? null : last.subarray(last.length - cut);
    const line = this.#take(stream, pending.end - cut);
    if (remainder !== null) this.#hold(stream, line.end, remainder);
    yield { ...line, bytes: line.bytes.subarray(0, line.bytes.length - cut) };
  }

  *#lagging(): Generator<Line> {
    for (const { stream, start, end } of this.#unfinished()) {
      if (this.#offset - start > MAX_LAG_BYTES) yield this.#take(stream, end);
    }
  }

  /** In the order in which they began. */
  #unfinished(): { stream: OutputStream; start: number; end: number }[] {
    return STREAMS.flatMap((stream) => {
      const pending = this.#pending[stream];
      return pending === null ? [] : [{ stream, start: pending.start, end: pending.end }];
    }).sort((a, b) => a.start - b.start);
  }
}
