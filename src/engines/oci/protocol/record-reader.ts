/** Reads the records that the agent packs into `DATA` frames. */
import { SandboxError } from '../../../shared/errors.ts';
import type { AgentConnection } from './agent-connection.ts';
import { FRAME } from './frames.ts';

/** The agent's answer is not in the form of its protocol. */
export function malformedRecord(): SandboxError {
  return new SandboxError('server', 'The sandbox’s agent sent a malformed record.', {
    hint: 'The sandbox may be damaged; stop it with sandbox_stop and create a new one.',
  });
}

/**
 * The numbers of one answer. `ensure` waits for bytes; the other methods take what is there, so that most
 * records cost no turn of the event loop. All throw `server` where the answer ends too early.
 */
export class RecordReader {
  readonly #connection: AgentConnection;
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;
  #ended = false;

  constructor(connection: AgentConnection) {
    this.#connection = connection;
  }

  /** How many bytes can be taken without waiting. */
  get available(): number {
    return this.#buffer.length - this.#at;
  }

  /** Waits until so many bytes are there, or the answer has ended. */
  async ensure(length: number): Promise<void> {
    while (this.available < length && !this.#ended) {
      const frame = await this.#connection.expect(FRAME.DATA, FRAME.END);
      if (frame.type === FRAME.END) {
        this.#ended = true;
        return;
      }
      const rest = this.#buffer.subarray(this.#at);
      this.#buffer = rest.length === 0 ? frame.body : Buffer.concat([rest, frame.body]);
      this.#at = 0;
    }
  }

  u8(): number {
    return this.#buffer.readUInt8(this.#take(1));
  }

  u32(): number {
    return this.#buffer.readUInt32LE(this.#take(4));
  }

  u64(): number {
    const value = Number(this.#buffer.readBigUInt64LE(this.#take(8)));
    if (!Number.isSafeInteger(value)) throw malformedRecord();
    return value;
  }

  bytes(length: number): Buffer {
    const start = this.#take(length);
    return this.#buffer.subarray(start, start + length);
  }

  /** A text that ends with NUL; in `latin1`, one character per byte. */
  text(encoding: 'latin1' | 'utf8' = 'latin1'): string {
    const end = this.#buffer.indexOf(0, this.#at);
    if (end === -1) throw malformedRecord();
    const text = this.#buffer.toString(encoding, this.#at, end);
    this.#at = end + 1;
    return text;
  }

  /** Waits for the end of the answer; anything before it is an error. */
  async requireEnd(): Promise<void> {
    await this.ensure(1);
    if (this.available > 0) throw malformedRecord();
  }

  #take(length: number): number {
    if (this.available < length) throw malformedRecord();
    const start = this.#at;
    this.#at += length;
    return start;
  }
}
