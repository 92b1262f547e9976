import { statSync } from 'node:fs';
import { systemErrorCode } from '../errors.ts';

/**
 * A text that changes when the file at `path` is replaced or written to; null if there is no file.
 * Synchronous: the metadata is cached by the kernel, so a stat is faster than a round trip to the thread
 * pool.
 *
 * @throws the Node system error of any other failure
 */
export function fileStamp(path: string): string | null {
  try {
    const { ino, mtimeNs, size } = statSync(path, { bigint: true });
    return `${ino}.${mtimeNs}.${size}`;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
}
