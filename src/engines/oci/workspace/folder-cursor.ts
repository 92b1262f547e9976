import { lstat } from 'node:fs/promises';
import { systemErrorCode } from '../../../shared/errors.ts';
import type { HostDirectory, HostEntry } from '../../../shared/fs/host-directory.ts';

/**
 * Finds paths below an open folder without following a link. Holds the directories of the last path, so that
 * paths in order cost little. Not for concurrent use.
 */
export class FolderCursor {
  readonly #root: HostDirectory;
  #held: { name: string; directory: HostDirectory }[] = [];

  /** @param root stays open; the caller closes it */
  constructor(root: HostDirectory) {
    this.#root = root;
  }

  /** The last name of a path in its parent, valid until the next call; null if the parent is missing. */
  async entry(path: string): Promise<HostEntry | null> {
    const names = path.split('/');
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
  async stats(path: string) {
    const entry = await this.entry(path);
    if (entry === null) return null;
    try {
      return await lstat(entry.parent.at(entry.name), { bigint: true });
    } catch (error) {
      if (isMissing(error)) return null;
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

function isMissing(error: unknown): boolean {
  const code = systemErrorCode(error);
  return code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP';
}
