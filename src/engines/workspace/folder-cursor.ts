import { createHash } from 'node:crypto';
import { type BigIntStats, constants } from 'node:fs';
import { type FileHandle, lstat, open, readlink } from 'node:fs/promises';
import { systemErrorCode } from '../../shared/errors.ts';
import { fillBuffer } from '../../shared/fs/fill-buffer.ts';
import type { HostDirectory, HostEntry } from '../../shared/fs/host-directory.ts';
import type { SideFiles } from './sides.ts';

/** A fifo must not wait for a writer. */
const READ_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const CHUNK = 1_048_576;

/**
 * Finds and reads files below an open folder without following a link. Holds the directories of the last
 * path, so that paths in order cost little. Not for concurrent use.
 */
export class FolderCursor implements SideFiles {
  readonly #root: HostDirectory;
  #held: { name: string; directory: HostDirectory }[] = [];

  /** @param root stays open; the caller closes it */
  constructor(root: HostDirectory) {
    this.#root = root;
  }

  /** The last name of a path in its parent, valid until the next call; null if the parent is missing. */
  async entry(path: string): Promise<HostEntry | null> {
    const names = path.split('/');
    // Paths of a sandbox are checked where they come from; none may lead out of the folder.
    if (names.includes('..') || names.includes('')) throw new Error(`not a path below a folder: ${path}`);
    const name = names.pop() ?? '';
    let common = 0;
    while (common < names.length && this.#held[common]?.name === names[common]) common += 1;
    await this.#drop(common);
    for (const part of names.slice(common)) {
      const parent = this.#held.at(-1)?.directory ?? this.#root;
      try {
        this.#held.push({ name: part, directory: await parent.directory(part) });
      } catch (error) {
        if (isMissing(error)) return null;
        throw error;
      }
    }
    return { parent: this.#held.at(-1)?.directory ?? this.#root, name };
  }

  /** The metadata of a path, of a link itself; null if it does not exist. */
  async stats(path: string): Promise<BigIntStats | null> {
    const entry = await this.entry(path);
    if (entry === null) return null;
    try {
      return await lstat(entry.parent.at(entry.name), { bigint: true });
    } catch (error) {
      if (isMissing(error)) return null;
      throw error;
    }
  }

  async open(path: string): Promise<FileHandle | null> {
    const entry = await this.entry(path);
    if (entry === null) return null;
    let file: FileHandle;
    try {
      file = await open(entry.parent.at(entry.name), READ_FLAGS);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'ENOENT' || code === 'ELOOP' || code === 'ENXIO') return null;
      throw error;
    }
    if ((await file.stat()).isFile()) return file;
    await file.close();
    return null;
  }

  async read(path: string, limit: number): Promise<Buffer | null> {
    const file = await this.open(path);
    if (file === null) {
      const entry = await this.entry(path);
      return entry === null ? null : readlink(entry.parent.at(entry.name), 'buffer').catch(() => null);
    }
    try {
      return await fillBuffer(file, Buffer.allocUnsafe(Math.min(limit, (await file.stat()).size)));
    } finally {
      await file.close();
    }
  }

  async digest(path: string, size: number, signal: AbortSignal): Promise<Buffer | null> {
    const file = await this.open(path);
    if (file === null) return null;
    try {
      return (await file.stat()).size === size ? await hashOf(file, size, signal) : null;
    } finally {
      await file.close();
    }
  }

  async target(path: string): Promise<string | null> {
    const entry = await this.entry(path);
    if (entry === null) return null;
    try {
      return await readlink(entry.parent.at(entry.name));
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'ENOENT' || code === 'EINVAL') return null;
      throw error;
    }
  }

  async close(): Promise<void> {
    await this.#drop(0);
  }

  async #drop(from: number): Promise<void> {
    for (const { directory } of this.#held.splice(from)) await directory.close();
  }
}

/** The hash of a file of that size. It may be growing; what comes after `size` bytes does not count. */
async function hashOf(file: FileHandle, size: number, signal: AbortSignal): Promise<Buffer | null> {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(Math.min(CHUNK, size));
  for (let left = size; left > 0; ) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, Math.min(buffer.length, left), null);
    if (bytesRead === 0) return null;
    hash.update(buffer.subarray(0, bytesRead));
    left -= bytesRead;
  }
  return hash.digest();
}

function isMissing(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP';
}
