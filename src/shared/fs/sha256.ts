/** SHA-256 of a stream of bytes; large streams are hashed on a worker thread. */
import { createHash } from 'node:crypto';
import { Sha256Worker } from './sha256-worker.ts';

/** The size from which a thread is worth its start-up time. */
const MANY_BYTES = 33_554_432;

export interface Sha256 {
  /** Adds bytes, one call at a time. The buffer may be reused once this has resolved. */
  update(bytes: Buffer): Promise<void> | void;
  /** In hexadecimal. */
  digest(): Promise<string>;
  /** Frees its resources; call it after success and failure alike. */
  close(): Promise<void>;
}

/** @param expectedBytes the approximate size of the stream */
export function sha256(expectedBytes: number): Sha256 {
  if (expectedBytes >= MANY_BYTES) return new Sha256Worker();
  const hash = createHash('sha256');
  return {
    update: (bytes) => {
      hash.update(bytes);
    },
    digest: () => Promise.resolve(hash.digest('hex')),
    close: () => Promise.resolve(),
  };
}
