import { constants, type Stats } from 'node:fs';
import {
  chmod,
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  rename,
  rmdir,
  unlink,
  utimes,
} from 'node:fs/promises';
import { join } from 'node:path';
import { SandboxError, systemErrorCode } from '../../src/shared/errors.ts';
import {
  clearHostDirectory,
  type HostDirectory,
  removeHostTree,
} from '../../src/shared/fs/host-directory.ts';
import { stageName } from '../../src/shared/fs/stage-name.ts';
import { kindOf, mergeHostDirectory, type Overwrite, requireReplaceable } from './host-tree-place.ts';
import type { LocalEntry } from './local-path.ts';

/** Neither follows a link nor overwrites an existing file. */
export const CREATE_FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

type Identity = Pick<Stats, 'dev' | 'ino'>;

/**
 * A file or directory next to its target, where it is completed before it takes the target's name. Anyone who
 * may write to the target's parent can rename entries and replace them with links at any moment. Therefore a
 * staged directory is held open and closed to other users, and all work happens in it, not below its name.
 */
export class HostStage {
  readonly #target: LocalEntry;
  readonly #name: string;
  #root: HostDirectory | null = null;
  #identity: Identity | null = null;

  constructor(target: LocalEntry) {
    this.#target = target;
    this.#name = stageName(target.name);
  }

  /** For the note that recovery reads. */
  get path(): string {
    return join(this.#target.parent.path, this.#name);
  }

  /** Creates a directory of the tree, for now closed to other users. `''` is the tree itself. */
  async makeDirectory(path: string): Promise<void> {
    await mkdir(this.at(path), { mode: 0o700 });
    if (path !== '') return;
    this.#root = await this.#target.parent.directory(this.#name);
    this.#identity = this.#root.stats;
    const { uid, mode } = this.#root.stats;
    const isOwn = process.getuid === undefined || (uid === process.getuid() && (mode & 0o077) === 0);
    if (!isOwn || (await readdir(this.#root.self)).length > 0) throw this.#replaced();
  }

  /** Creates and opens a file of the tree. `''` is a single file. */
  async createFile(path: string, mode: number): Promise<FileHandle> {
    const handle = await open(this.at(path), CREATE_FLAGS, mode);
    if (path === '') this.#identity = await handle.stat();
    return handle;
  }

  /** Where to create an entry of the tree. Its parents must be directories that were made here. */
  at(path: string): string {
    if (path === '') return this.#target.parent.at(this.#name);
    return this.#root === null ? join(this.path, path) : this.#root.at(path);
  }

  /** Sets the mode and the modification time (milliseconds since 1970) of a directory. */
  async finishDirectory(path: string, mode: number, mtimeMs: number | undefined): Promise<void> {
    const at = path === '' && this.#root !== null ? this.#root.self : this.at(path);
    await chmod(at, mode);
    if (mtimeMs !== undefined) await utimes(at, mtimeMs / 1_000, mtimeMs / 1_000);
  }

  /** Moves it to its target. @throws `conflict`, or the system error if the target has changed meanwhile */
  async publish(overwrite: Overwrite): Promise<void> {
    const { parent, name } = this.#target;
    await requireReplaceable(this.#target, this.#root === null ? 'file' : 'directory', overwrite);
    if (this.#root !== null && (await kindOf(this.#target)) === 'directory') {
      if (overwrite === 'merge') return this.#merge(this.#root);
      await this.#replaceDirectory();
    } else {
      await rename(this.at(''), parent.at(name));
    }
    const { dev, ino } = await lstat(parent.at(name));
    if (dev !== this.#identity?.dev || ino !== this.#identity.ino) throw this.#replaced();
  }

  /** Removes what was written. Anything that another process has put in its place stays. */
  async discard(): Promise<void> {
    const { parent } = this.#target;
    if (this.#root !== null) await clearHostDirectory(this.#root);
    const remove = this.#root === null ? unlink : rmdir;
    await remove(parent.at(this.#name)).catch((error: unknown) => {
      const code = systemErrorCode(error);
      if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EISDIR') throw error;
    });
  }

  async close(): Promise<void> {
    await this.#root?.close();
  }

  async #merge(root: HostDirectory): Promise<void> {
    const target = await this.#target.parent.directory(this.#target.name);
    try {
      await mergeHostDirectory(root, target);
    } finally {
      await target.close();
    }
    await this.discard();
  }

  async #replaceDirectory(): Promise<void> {
    const { parent, name } = this.#target;
    const aside = stageName(name);
    await rename(parent.at(name), parent.at(aside));
    try {
      await rename(this.at(''), parent.at(name));
    } catch (error) {
      await rename(parent.at(aside), parent.at(name));
      throw error;
    }
    // Under the name that is noted, recovery removes it too if this process dies now.
    await rename(parent.at(aside), parent.at(this.#name));
    await removeHostTree({ parent, name: this.#name });
  }

  #replaced(): SandboxError {
    return new SandboxError(
      'conflict',
      `Another program replaced ${JSON.stringify(this.path)} while it was being written.`,
      {
        hint: 'Download to a folder that no other user of this machine may change.',
        details: { local_path: this.#target.path },
      },
    );
  }
}
