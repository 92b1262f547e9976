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

  constructor(folder: FolderCursor, mountedNs: bigint) {
    this.#folder = folder;
    this.#mountedNs = mountedNs;
  }

  async isChanged(_path: string, now: BigIntStats): Promise<boolean> {
    return now.ctimeNs > this.#mountedNs;
  }

  /** For a copy of a file that the folder has no more, in a directory that has changed. */
  async isDeleted({ path, copied }: SandboxEntry): Promise<boolean> {
    if (!copied) return false;
    const slash = path.lastIndexOf('/');
    const parent = await this.#folder.stats(slash === -1 ? '.' : path.slice(0, slash));
    return parent === null || parent.ctimeNs > this.#mountedNs;
  }
}
