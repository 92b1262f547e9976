/** SHA-256 of a stream of bytes: where there are many, on another thread than the server's. */
import { createHash } from 'node:crypto';
import { Sha256Worker } from './sha256-worker.ts';

/** From here on a thread is worth its start. */
const MANY_BYTES = 33_554_432;

export interface Sha256 {
  /** Takes the next bytes, one call at a time; they may change once this has resolved. */
  update(bytes: Buffer): Promise<void> | void;
  /** In hexadecimal. */
  digest(): Promise<string>;
  /** Frees what it holds, at the end of whatever came of it. */
  close(): Promise<void>;
}

/** @param expectedBytes about how many will come */
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
