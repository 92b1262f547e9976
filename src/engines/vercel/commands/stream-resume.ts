/**
 * One reading of a command's output from its beginning. The platform cannot resume at an offset, so a stream
 * that was cut is read again, and the part that is already captured is skipped: by bytes of each stream,
 * since a new reading may be chunked differently. A digest verifies that the skipped bytes equal the captured
 * ones.
 */
import { createHash, type Hash } from 'node:crypto';
import type { OutputStream } from '../../engine.ts';
import type { LogWriter } from '../../output-log/log-writer.ts';

/** Digests of everything that a log has captured, kept next to it. */
export interface Digests {
  stdout: Hash;
  stderr: Hash;
}

/** Those of an empty log. */
export function newDigests(): Digests {
  return { stdout: createHash('sha256'), stderr: createHash('sha256') };
}

const HIGH_SURROGATE = /[\uD800-\uDBFF]$/;

export class ResumedReading {
  readonly #log: LogWriter;
  readonly #digests: Digests;
  readonly #seen = newDigests();
  readonly #position = { stdout: 0, stderr: 0 };
  /** Bytes of each stream captured when this reading began: everything before is skipped. */
  readonly #known: { stdout: number; stderr: number };
  /** An incomplete character at the end of a piece, which the next one completes. */
  readonly #half = { stdout: '', stderr: '' };
  /** False if the platform returned a different beginning than before: what lies between may be lost. */
  consistent = true;

  constructor(log: LogWriter, digests: Digests) {
    this.#log = log;
    this.#digests = digests;
    this.#known = { ...log.totals };
  }

  /** Processes a piece; returns whether any of it was new. */
  take(stream: OutputStream, text: string): boolean {
    const whole = this.#half[stream] + text;
    const ends = HIGH_SURROGATE.test(whole) ? whole.length - 1 : whole.length;
    this.#half[stream] = whole.slice(ends);
    const bytes = Buffer.from(whole.slice(0, ends), 'utf8');
    const skip = Math.min(bytes.length, Math.max(0, this.#known[stream] - this.#position[stream]));
    if (skip > 0) this.#skip(stream, bytes.subarray(0, skip));
    const fresh = bytes.subarray(skip);
    if (fresh.length === 0) return false;
    this.#digests[stream].update(fresh);
    this.#log.append(stream, fresh);
    return true;
  }

  #skip(stream: OutputStream, bytes: Buffer): void {
    this.#seen[stream].update(bytes);
    this.#position[stream] += bytes.length;
    if (this.#position[stream] < this.#known[stream]) return;
    const before = this.#digests[stream].copy().digest('hex');
    if (this.#seen[stream].copy().digest('hex') !== before) this.consistent = false;
  }
}
