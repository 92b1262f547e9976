/** Sniffs the protocol, and the TLS client hello, from the first bytes that a program sends. */
import { type ClientHello, ClientHelloParser } from './client-hello.ts';
import type { RedirectedConnection } from './context.ts';
import { type Protocol, ProtocolDetector } from './detect-protocol.ts';
import { GrowingBuffer } from './growing-buffer.ts';

export interface SniffResult {
  /** Null if the program sent nothing, or too little to tell, within the time limit. */
  readonly protocol: Protocol | null;
  /** For TLS; null if the hello did not arrive completely within the limits. */
  readonly hello: ClientHello | null;
  readonly hasData: boolean;
  /** The bytes that have arrived. */
  readonly bytes: Buffer;
}

const MAX_BYTES = 80_000;
/** Each chunk is a message from the relay: bounds the wait for a program that sends single bytes. */
const MAX_CHUNKS = 2_000;
/** Once a program has begun to send, its hello or request line has to arrive within this. */
const COMPLETE_MS = 60_000;

/** Waits for the first bytes. Never rejects. */
export async function sniff(connection: RedirectedConnection, firstByteMs: number): Promise<SniffResult> {
  const sniffer = new Sniffer();
  const until = performance.now() + COMPLETE_MS;
  for (let chunks = 0; ; chunks++) {
    const left = sniffer.hasData ? until - performance.now() : firstByteMs;
    if (sniffer.isDone || left <= 0 || chunks > MAX_CHUNKS) return sniffer.result();
    const chunk = await connection.nextChunk(left);
    if (chunk === 'timeout' || chunk === 'end') return sniffer.result();
    sniffer.push(chunk);
  }
}

class Sniffer {
  readonly #received = new GrowingBuffer();
  readonly #detector = new ProtocolDetector();
  readonly #parser = new ClientHelloParser();
  #protocol: Protocol | null = null;
  #hello: ClientHello | null = null;

  push(chunk: Buffer): void {
    this.#received.append(chunk);
    const known = this.#protocol;
    this.#protocol ??= this.#detector.detect(this.#received.bytes);
    if (this.#protocol !== 'tls') return;
    const hello = this.#parser.push(known === null ? this.#received.bytes : chunk);
    this.#hello = hello.kind === 'incomplete' ? null : hello;
  }

  get hasData(): boolean {
    return this.#received.length > 0;
  }

  get isDone(): boolean {
    const complete = this.#protocol === 'tls' ? this.#hello !== null : this.#protocol !== null;
    return complete || this.#received.length > MAX_BYTES;
  }

  result(): SniffResult {
    const incomplete = this.#protocol === 'tls' && this.#hello === null;
    return {
      protocol: incomplete ? null : this.#protocol,
      hello: this.#hello,
      hasData: this.hasData,
      bytes: this.#received.bytes,
    };
  }
}
