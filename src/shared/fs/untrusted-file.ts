/** Reads files that the agent writes as untrusted data: without following links, and only regular files. */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { SandboxError, systemErrorCode } from '../errors.ts';
import { fillBuffer } from './fill-buffer.ts';

/**
 * Opens a regular file for reading; null if it does not exist.
 * @throws `server` for a link, a fifo, a device or any other file that is not regular
 */
async function openUntrusted(path: string): Promise<FileHandle | null> {
  let file: FileHandle;
  try {
    file = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    if (code === 'ELOOP')
      throw new SandboxError('server', 'A file of the sandbox’s agent is a symbolic link.');
    throw error;
  }
  if (!(await file.stat()).isFile()) {
    await file.close();
    throw new SandboxError('server', 'A file of the sandbox’s agent is not a regular file.');
  }
  return file;
}

/** The first `limit` bytes of a regular file, or null if it does not exist. */
export async function readUntrusted(path: string, limit: number): Promise<Buffer | null> {
  return readUntrustedInto(path, Buffer.allocUnsafe(limit));
}

/** Fills the buffer from the start of a regular file; null if it does not exist. */
export async function readUntrustedInto(path: string, buffer: Buffer): Promise<Buffer | null> {
  const file = await openUntrusted(path);
  if (file === null) return null;
  try {
    return await fillBuffer(file, buffer);
  } finally {
    await file.close();
  }
}
