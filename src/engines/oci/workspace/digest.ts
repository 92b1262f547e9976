import { createHash } from 'node:crypto';
import type { FolderCursor } from './folder-cursor.ts';
import { openRegular } from './open-workspace.ts';

const CHUNK = 1_048_576;

/** The hash of a file's content. Null for anything but a regular file of that size. */
export async function digest(
  cursor: FolderCursor,
  path: string,
  size: number,
  signal: AbortSignal,
): Promise<Buffer | null> {
  const file = await openRegular(cursor, path);
  if (file === null) return null;
  try {
    if ((await file.stat()).size !== size) return null;
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, size));
    // It may be growing; what comes after `size` bytes does not count.
    for (let left = size; left > 0; ) {
      signal.throwIfAborted();
      const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, left), null);
      if (bytesRead === 0) return null;
      hash.update(buffer.subarray(0, bytesRead));
      left -= bytesRead;
    }
    return hash.digest();
  } finally {
    await file.close();
  }
}
