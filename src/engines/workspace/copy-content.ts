import type { Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';

const CHUNK = 1_048_576;
const ZEROS = Buffer.alloc(CHUNK);

/**
 * Copies at most `size` bytes: the sandbox may be writing more. Zeros become holes, as they may have been.
 *
 * @param hash gets what is copied
 */
export async function copyContent(
  from: FileHandle,
  to: FileHandle,
  size: number,
  hash: Hash | null,
  signal: AbortSignal,
): Promise<void> {
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK, size));
  let at = 0;
  while (at < size) {
    signal.throwIfAborted();
    const { bytesRead } = await from.read(buffer, 0, Math.min(CHUNK, size - at), at);
    if (bytesRead === 0) break;
    const chunk = buffer.subarray(0, bytesRead);
    hash?.update(chunk);
    if (!ZEROS.subarray(0, bytesRead).equals(chunk)) await writeAll(to, chunk, at);
    at += bytesRead;
  }
  await to.truncate(at);
}

async function writeAll(file: FileHandle, chunk: Buffer, position: number): Promise<void> {
  let done = 0;
  while (done < chunk.length) {
    const { bytesWritten } = await file.write(chunk, done, chunk.length - done, position + done);
    done += bytesWritten;
  }
}
