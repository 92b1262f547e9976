import type { FileHandle } from 'node:fs/promises';

/** Fills the buffer from the start of a file; returns the part that was filled. */
export async function fillBuffer(file: FileHandle, buffer: Buffer): Promise<Buffer> {
  let length = 0;
  while (length < buffer.length) {
    const { bytesRead } = await file.read(buffer, length, buffer.length - length, length);
    if (bytesRead === 0) break;
    length += bytesRead;
  }
  return buffer.subarray(0, length);
}
