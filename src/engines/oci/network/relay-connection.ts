/** One connection that the relay holds. */
import type { Duplex } from 'node:stream';
import type { ByteCounts, DialMode, RedirectedConnection } from '../../../egress/connection/context.ts';
import { destination, numbered, RELAY_FRAME } from './relay-frames.ts';

const LINGER_MS = 2_000;

/** What a connection needs from its relay. */
export interface RelayConnectionCallbacks {
  send(type: number, body: Buffer): void;
  /** Requests the stream of this connection; null if the connection ends first. */
  take(id: number, closed: Promise<unknown>): Promise<Duplex | null>;
}

export class RelayConnection implements RedirectedConnection {
  readonly address: string;
  readonly port: number;
  readonly closed: Promise<ByteCounts>;
  readonly #id: number;
  readonly #callbacks: RelayConnectionCallbacks;
  readonly #seen: (Buffer | 'end')[] = [];
  #sniffing = false;
  #onNext: ((next: Buffer | 'end' | 'timeout') => void) | null = null;
  #dialled: ((code: string | null) => void) | null = null;
  #onClosed: (moved: ByteCounts) => void = () => undefined;
  #over = false;
  #linger: NodeJS.Timeout | undefined;

  constructor(id: number, to: Buffer, callbacks: RelayConnectionCallbacks) {
    this.#id = id;
    this.#callbacks = callbacks;
    this.address = [...to.subarray(0, 4)].join('.');
    this.port = to.readUInt16BE(4);
    this.closed = new Promise((resolve) => {
      this.#onClosed = resolve;
    });
  }

  nextChunk(timeoutMs: number): Promise<Buffer | 'end' | 'timeout'> {
    const next = this.#seen.shift();
    if (next !== undefined) return Promise.resolve(next);
    if (this.#over) return Promise.resolve('end');
    if (!this.#sniffing) this.#send(RELAY_FRAME.SNIFF);
    this.#sniffing = true;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#onNext?.('timeout'), timeoutMs);
      this.#onNext = (what) => {
        clearTimeout(timer);
        this.#onNext = null;
        resolve(what);
      };
    });
  }

  dial(address: string, port: number, how: DialMode): Promise<string | null> {
    if (this.#over) return Promise.resolve('ECANCELED');
    const request = typeof how === 'string' ? Buffer.alloc(0) : how.request;
    const mode = Buffer.from([how === 'pass' ? 0 : how === 'hold' ? 1 : 2]);
    this.#send(RELAY_FRAME.CONNECT, destination(address, port), mode, request);
    this.#sniffing ||= how === 'hold';
    return new Promise((resolve) => {
      this.#dialled = resolve;
    });
  }

  release(): void {
    this.#send(RELAY_FRAME.RELEASE);
  }

  async takeStream(): Promise<Duplex | null> {
    return this.#over ? null : this.#callbacks.take(this.#id, this.closed);
  }

  endWith(bytes: Buffer): void {
    if (this.#over) return;
    this.#send(RELAY_FRAME.RESPOND, bytes);
    // A program that does not read the final response does not keep its connection open.
    this.#linger = setTimeout(() => this.reset(), LINGER_MS);
    this.#linger.unref();
  }

  reset(): void {
    if (!this.#over) this.#send(RELAY_FRAME.RESET);
  }

  /** Bytes that the program sent; empty at end of stream. */
  sent(bytes: Buffer): void {
    const what = bytes.length === 0 ? 'end' : bytes;
    if (this.#onNext !== null) this.#onNext(what);
    else this.#seen.push(what);
  }

  dialled(code: string | null): void {
    this.#dialled?.(code);
    this.#dialled = null;
  }

  over(moved: ByteCounts): void {
    this.#over = true;
    clearTimeout(this.#linger);
    this.#onNext?.('end');
    this.dialled('ECANCELED');
    this.#onClosed(moved);
  }

  #send(type: number, ...more: Buffer[]): void {
    this.#callbacks.send(type, numbered(this.#id, ...more));
  }
}
