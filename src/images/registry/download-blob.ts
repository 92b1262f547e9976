/** Downloads a blob to a file: resumed after an interruption, and verified by size and digest. */
import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { SandboxError, throwIfCancelled } from '../../shared/errors.ts';
import { diskFullError } from '../../shared/fs/disk-full.ts';
import type { Answer } from './http.ts';
import type { RegistryClient } from './registry-client.ts';
import { TransientError, untrustworthy } from './registry-errors.ts';

/** A blob as a manifest describes it. */
export interface Blob {
  digest: string;
  size: number;
}

/** The part of a file that has been written. */
class Partial {
  readonly #file: FileHandle;
  readonly #onBytes: (bytes: number) => void;
  #hash: Hash = createHash('sha256');
  #bytes = 0;

  constructor(file: FileHandle, onBytes: (bytes: number) => void) {
    this.#file = file;
    this.#onBytes = onBytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

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

/** Where the content of a partial answer starts (RFC 9110, `Content-Range`). */
function startOf({ statusCode, headers }: Answer): number | null {
  if (statusCode !== 206) return 0;
  const start = /^bytes (\d{1,16})-/.exec(String(headers['content-range']))?.[1];
  return start === undefined ? null : Number(start);
}

/**
 * @param onBytes is called with the number of bytes received, negative if they have to be fetched again
 * @throws `server` if size or digest differ from what the manifest says
 */
export async function downloadBlob(
  client: RegistryClient,
  blob: Blob,
  path: string,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    const partial = new Partial(file, onBytes);
    const read = async (answer: Answer): Promise<void> => {
      const start = startOf(answer);
      if (start === 0) partial.restart();
      else if (start !== partial.bytes) {
        await answer.body.dump();
        partial.restart();
        throw new TransientError('the registry sent a different range than requested');
      }
      try {
        for await (const chunk of answer.body) {
          const part: Uint8Array = chunk;
          if (partial.bytes + part.length > blob.size) {
            throw untrustworthy(
              client.what,
              `blob ${blob.digest} has more than the ${blob.size} bytes of its manifest`,
            );
          }
          await partial.add(part);
        }
      } catch (error) {
        throwIfCancelled(signal);
        if (error instanceof SandboxError) throw error;
        throw new TransientError('the connection broke', null, error);
      }
      // A broken connection is an error above, so this is all that the registry has.
      if (partial.bytes < blob.size) {
        throw untrustworthy(client.what, `blob ${blob.digest} has ${partial.bytes} bytes, not ${blob.size}`);
      }
    };
    await client.blob(blob.digest, () => partial.bytes, read, signal);
    if (partial.digest() !== blob.digest) {
      throw untrustworthy(client.what, `blob ${blob.digest} has the digest ${partial.digest()}`);
    }
  } finally {
    await file.close();
  }
}
