/** A connection whose program sends what the test provides, to test the gateway's decisions. */
import type { ByteCounts, DialMode, RedirectedConnection } from '../../../src/egress/connection/context.ts';

export class ScriptedConnection implements RedirectedConnection {
  readonly address: string;
  readonly port: number;
  readonly closed: Promise<ByteCounts>;
  /** The servers that the gateway has connected it to, each `address:port`. */
  readonly dialled: string[] = [];
  /** The last bytes that the program received. */
  answer = '';
  /** The request that replaced what the program sent, or `taken` if the gateway took its stream. */
  continued = '';
  /** How long the gateway was ready to wait for each chunk, in milliseconds. */
  readonly waits: number[] = [];
  readonly #chunks: (Buffer | 'timeout')[];
  #close: (counts: ByteCounts) => void = () => {};

  /** @param chunks everything the program sends, and when it is too slow; if empty, it stays silent */
  constructor(to: { address: string; port: number }, chunks: readonly (Buffer | 'timeout')[]) {
    this.address = to.address;
    this.port = to.port;
    this.#chunks = [...chunks];
    this.closed = new Promise((resolve) => {
      this.#close = resolve;
    });
  }

  nextChunk(waitMs: number): Promise<Buffer | 'end' | 'timeout'> {
    this.waits.push(waitMs);
    return Promise.resolve(this.#chunks.shift() ?? 'timeout');
  }

  dial(address: string, port: number, how: DialMode): Promise<string | null> {
    this.dialled.push(`${address}:${port}`);
    if (typeof how === 'object') this.continued = how.request.toString('latin1');
    if (how !== 'hold') this.#close({ in: 0, out: 0 });
    return Promise.resolve(null);
  }

  release(): void {
    this.answer = 'released';
    this.#close({ in: 0, out: 0 });
  }

  takeStream(): Promise<null> {
    this.continued = 'taken';
    this.#close({ in: 0, out: 0 });
    return Promise.resolve(null);
  }

  endWith(words: Buffer): void {
    this.answer = words.toString('latin1');
    this.#close({ in: words.length, out: 0 });
  }

  reset(): void {
    this.answer = 'reset';
    this.#close({ in: 0, out: 0 });
  }
}
