/** SHA-256 on a thread of its own, for as many bytes as would keep the thread of the server busy. */
import { Worker } from 'node:worker_threads';

/** What goes over at once, and how many of them there are: memory is their product. */
const BLOCK_BYTES = 1_048_576;
const BLOCKS = 4;

/** Told where a block begins and how long it is, it tells where it began once that is hashed; null asks for the digest. */
const PROGRAM = `
const { parentPort, workerData } = require('node:worker_threads');
const hash = require('node:crypto').createHash('sha256');
parentPort.on('message', (block) => {
  if (block === null) {
    parentPort.postMessage(hash.digest('hex'));
    parentPort.close();
  } else {
    hash.update(new Uint8Array(workerData, block.at, block.length));
    parentPort.postMessage(block.at);
  }
});
`;

export class Sha256Worker {
  /** Shared, not handed to and fro: what changes hands is new memory to the collector on both sides, each time. */
  readonly #memory = new SharedArrayBuffer(BLOCK_BYTES * BLOCKS);
  readonly #worker: Worker;
  /** Where the blocks begin that nobody is using. */
  readonly #free = Array.from({ length: BLOCKS }, (_, index) => index * BLOCK_BYTES);
  #block: { at: number; length: number } | null = null;
  #digest: string | null = null;
  #failure: unknown = null;
  #wake: () => void = () => {};

  constructor() {
    // Neither the flags of this process nor its environment are any business of the thread.
    this.#worker = new Worker(PROGRAM, { eval: true, execArgv: [], env: {}, workerData: this.#memory });
    this.#worker.on('message', (message: unknown) => {
      if (typeof message === 'number') this.#free.push(message);
      else this.#digest = String(message);
      this.#wake();
    });
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => {
      if (this.#digest === null) this.#fail(new Error('the thread that hashes has ended'));
    });
  }

  /** Takes a copy of the bytes; waits while the thread is behind. One call at a time. Rejects where the thread has failed. */
  async update(bytes: Buffer): Promise<void> {
    for (let from = 0; from < bytes.length; ) {
      this.#block ??= { at: await this.#freeBlock(), length: 0 };
      const { at, length } = this.#block;
      const copied = bytes.copy(new Uint8Array(this.#memory, at, BLOCK_BYTES), length, from);
      from += copied;
      this.#block.length += copied;
      if (this.#block.length === BLOCK_BYTES) this.#flushBlock();
    }
  }

  /** The digest in hexadecimal; nothing can be added any more. Rejects where the thread has failed. */
  async digest(): Promise<string> {
    this.#flushBlock();
    this.#worker.postMessage(null);
    while (this.#digest === null) await this.#nextMessage();
    return this.#digest;
  }

  /** Ends the thread, whatever it has come to. */
  async close(): Promise<void> {
    await this.#worker.terminate();
  }

  async #freeBlock(): Promise<number> {
    for (;;) {
      const at = this.#free.pop();
      if (at !== undefined) return at;
      await this.#nextMessage();
    }
  }

  #flushBlock(): void {
    if (this.#block !== null) this.#worker.postMessage(this.#block);
    this.#block = null;
  }

  /** Waits for a word of the thread. */
  async #nextMessage(): Promise<void> {
    if (this.#failure !== null) throw this.#failure;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
  }

  #fail(error: unknown): void {
    this.#failure ??= error;
    this.#wake();
  }
}
