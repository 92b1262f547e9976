import { statSync } from 'node:fs';
import { systemErrorCode } from '../errors.ts';

/**
 * A text that changes when the file at `path` is replaced or written to; null where there is none. Synchronous: what is
 * asked before every call lies in memory, and a look at it takes less than handing it to a thread.
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
