import type { BigIntStats } from 'node:fs';
import type { HostDirectory } from '../../../shared/fs/host-directory.ts';
import { FolderCursor } from '../../workspace/folder-cursor.ts';
import type { SandboxEntry, SandboxFiles, SeenFolder } from '../../workspace/sides.ts';
import { listUpper } from './upper-layer.ts';

/** The sandbox's side of an overlay. */
export class UpperLayer extends FolderCursor implements SandboxFiles {
  readonly #path: string;
  readonly #agent: string;

  constructor(upper: HostDirectory, agent: string) {
    super(upper);
    this.#path = upper.path;
    this.#agent = agent;
  }

  list(signal: AbortSignal) {
    return listUpper(this.#agent, this.#path, signal);
  }

  async prepare(): Promise<string[]> {
    // They are on this machine.
    return [];
  }
}

/** The folder is what the sandbox sees: whatever changed before the mount, it has seen. */
export class MountedFolder implements SeenFolder {
  readonly #folder: FolderCursor;
  readonly #mountedNs: bigint;
  readonly #moved = new Map<string, boolean>();

  constructor(folder: FolderCursor, mountedNs: bigint) {
    this.#folder = folder;
    this.#mountedNs = mountedNs;
  }

  async isChanged(path: string, now: BigIntStats): Promise<boolean> {
    return now.ctimeNs > this.#mountedNs || (await this.#isMoved(parentOf(path)));
  }

  /** For a copy of a file that the folder has no more, in a directory that has changed. */
  async isDeleted({ path, copied }: SandboxEntry): Promise<boolean> {
    if (!copied) return false;
    const parent = await this.#folder.stats(parentOf(path) || '.');
    return parent === null || parent.ctimeNs > this.#mountedNs;
  }

  /**
   * Whether a directory, or one above it, has come from elsewhere, with files that are older than the mount: that
   * changes its ctime alone. (Once something has been added to it, it cannot be told from one that was there.)
   */
  async #isMoved(directory: string): Promise<boolean> {
    if (directory === '') return false;
    const known = this.#moved.get(directory);
    if (known !== undefined) return known;
    const stats = await this.#folder.stats(directory);
    const isMoved = stats !== null && stats.ctimeNs > this.#mountedNs && stats.mtimeNs <= this.#mountedNs;
    const moved = isMoved || (await this.#isMoved(parentOf(directory)));
    this.#moved.set(directory, moved);
    return moved;
  }
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}
