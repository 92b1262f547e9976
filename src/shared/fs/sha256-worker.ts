/** SHA-256 on a worker thread, for amounts of data that would block the server's thread. */
import { Worker } from 'node:worker_threads';

/** Block size and number of blocks; their product is the memory used. */
const BLOCK_BYTES = 1_048_576;
const BLOCKS = 4;

/**
 * Messages to the worker hold the start and length of a block; it replies with the start once the block is
 * hashed. Null requests the digest.
 */
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
  /**
   * Shared, not transferred: a transferred buffer is a new allocation for the garbage collector on both
   * sides, each time.
   */
  readonly #memory = new SharedArrayBuffer(BLOCK_BYTES * BLOCKS);
  readonly #worker: Worker;
  /** Offsets of the free blocks. */
  readonly #free = Array.from({ length: BLOCKS }, (_, index) => index * BLOCK_BYTES);
  #block: { at: number; length: number } | null = null;
  #digest: string | null = null;
  #failure: unknown = null;
  #wake: () => void = () => {};

  constructor() {
    // The worker needs neither this process's flags nor its environment.
    this.#worker = new Worker(PROGRAM, { eval: true, execArgv: [], env: {}, workerData: this.#memory });
    this.#worker.on('message', (message: unknown) => {
      if (typeof message === 'number') this.#free.push(message);
      else this.#digest = String(message);
      this.#wake();
    });
    this.#worker.on('error', (error) => this.#fail(error));
    this.#worker.on('exit', () => {
      if (this.#digest === null) this.#fail(new Error('the hashing thread has exited'));
    });
  }

  /**
   * Copies the bytes; waits while the worker is behind. One call at a time. Rejects if the worker has failed.
   */
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

  /** The digest in hexadecimal; nothing can be added afterwards. Rejects if the worker has failed. */
  async digest(): Promise<string> {
    this.#flushBlock();
    this.#worker.postMessage(null);
    while (this.#digest === null) await this.#nextMessage();
    return this.#digest;
  }

  /** Terminates the worker, whatever its state. */
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

  /** Waits for a message of the worker. */
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
