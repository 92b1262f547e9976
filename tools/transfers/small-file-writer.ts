import { FileThread, type SmallFile } from './file-thread.ts';
import { CREATE_FLAGS } from './host-stage.ts';
import { Background } from './write-behind.ts';

/** The limits of a batch, and how many are in memory beside the one that is being collected. */
const BATCH_FILES = 128;
const BATCH_BYTES = 524_288;
const BATCHES_AT_ONCE = 2;

/** Creates small files in batches, on a thread, while further ones arrive. Close it after use. */
export class SmallFileWriter {
  readonly #thread = new FileThread();
  readonly #writing = new Background(BATCHES_AT_ONCE);
  #batch: (SmallFile & { path: string })[] = [];
  #bytes = 0;

  /** Waits while two batches are pending. Rejects with the failure of an earlier write. */
  async add(file: SmallFile & { path: string }): Promise<void> {
    this.#batch.push(file);
    this.#bytes += file.content.length;
    if (this.#batch.length >= BATCH_FILES || this.#bytes >= BATCH_BYTES) await this.#flush();
  }

  /** Writes the rest. Rejects with the first failure. */
  async done(): Promise<void> {
    await this.#flush();
    await this.#writing.done();
  }

  /** Resolves when nothing is being written. Never rejects. */
  async settled(): Promise<void> {
    await this.#writing.settled();
  }

  async close(): Promise<void> {
    await this.#thread.close();
  }

  async #flush(): Promise<void> {
    const batch = this.#batch;
    this.#batch = [];
    this.#bytes = 0;
    if (batch.length > 0) await this.#writing.add(() => this.#thread.write(batch, CREATE_FLAGS));
  }
}
