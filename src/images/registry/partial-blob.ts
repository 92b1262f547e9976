import { createHash, type Hash } from 'node:crypto';
import { diskFullError } from '../../shared/fs/disk-full.ts';

/** What is needed of a file handle. */
interface BlobFile {
  write(
    chunk: Uint8Array,
    offset: number,
    length: number,
    position: number,
  ): Promise<{ bytesWritten: number }>;
}

/** The part of a blob that has been written to a file, from its start. */
export class PartialBlob {
  readonly #file: BlobFile;
  readonly #onBytes: (bytes: number) => void;
  #hash: Hash = createHash('sha256');
  #bytes = 0;

  /** @param onBytes is called with the number of bytes written, negative for those that are discarded */
  constructor(file: BlobFile, onBytes: (bytes: number) => void) {
    this.#file = file;
    this.#onBytes = onBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** Rejects if it cannot be written; then everything is discarded. */
  async add(chunk: Uint8Array): Promise<void> {
    const written = this.#write(chunk);
    // Meanwhile: another thread writes.
    this.#hash.update(chunk);
    try {
      await written;
    } catch (error) {
      // The hash is ahead of the file now: another attempt starts anew.
      this.restart();
      throw error;
    }
    this.#bytes += chunk.length;
    this.#onBytes(chunk.length);
  }

  async #write(chunk: Uint8Array): Promise<void> {
    const start = this.#bytes;
    try {
      for (let done = 0; done < chunk.length; ) {
        const { bytesWritten } = await this.#file.write(chunk, done, chunk.length - done, start + done);
        done += bytesWritten;
      }
    } catch (error) {
      throw diskFullError(error);
    }
  }

  /** Discards what was written: the registry sends the blob from its start. */
  restart(): void {
    this.#onBytes(-this.#bytes);
    this.#hash = createHash('sha256');
    this.#bytes = 0;
  }

  digest(): string {
    return `sha256:${this.#hash.copy().digest('hex')}`;
  }
}
