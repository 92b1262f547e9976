/**
 * Images on disk: a directory each, made beside its place and renamed into it, so that an image is there whole or not at
 * all. One lock covers what must not come between: a sandbox that begins to stand on an image, and its removal.
 */
import { randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { SandboxError, systemErrorCode } from '../shared/errors.ts';
import { type LockOptions, withFileLock } from '../shared/fs/file-lock.ts';
import { currentProcess, identify } from '../shared/process-identity.ts';
import { isImageName, requireImageName } from './image-name.ts';
import { type ImageRecord, type MadeImage, readImageRecord, writeImageRecord } from './image-record.ts';
import type { Unpacker } from './unpacker.ts';

/** What the store needs of the engine that its images are for. */
export interface ImageStoreHost {
  /** Where images lie; the engine makes it. */
  readonly directory: string;
  /** Permission bits of an image's own directory. */
  readonly mode: number;
  readonly arch: string;
  /** Whose ids are in the files; other ones could not read them right. */
  readonly ids: string;
  /** Whether there are ids for more than root; without, every file is root's. */
  readonly hasIds: boolean;
  /** Makes an empty directory of the sandboxes' root, closed to everybody else. */
  makeTree(path: string): Promise<void>;
  /** Starts filling such a directory with the owners that sandboxes see. */
  startUnpacker(tree: string, signal: AbortSignal): Promise<Unpacker>;
  /** Removes directories whole, whoever owns what is in them. */
  removeTrees(paths: string[]): Promise<void>;
}

/** Where an image is being made. */
export interface Staging {
  /** To be filled; becomes the image. */
  readonly tree: string;
  /** For files that are needed meanwhile. */
  readonly scratch: string;
}

const TREE = 'tree';
const RECORD = 'record.json';
/** `.new.<name>.<pid>.<start time>.<random>`: its maker is told from the name. */
const PENDING_PREFIX = /^\.new\..+\.(\d+)\.(\d*)\.[0-9a-f]{12}$/;
const REMOVED_PREFIX = '.gone.';
const LOCK_PREFIX = '.lock.';

/** The lock of a process that was killed with it; a living holder's stays. */
async function releaseDeadLock(path: string): Promise<void> {
  try {
    await withFileLock(path, async () => {}, { waitMs: 0 });
  } catch (error) {
    if (!(error instanceof SandboxError) || error.code !== 'conflict') throw error;
  }
}

export class ImageStore {
  readonly host: ImageStoreHost;

  constructor(host: ImageStoreHost) {
    this.host = host;
  }

  /** The image's files. */
  treeOf(name: string): string {
    return join(this.#place(name), TREE);
  }

  /** Null where there is none. @throws `server` for a damaged record */
  async find(name: string): Promise<ImageRecord | null> {
    if (!isImageName(name)) return null;
    return readImageRecord(join(this.#place(name), RECORD), name);
  }

  /** The names of all images, sorted; those of damaged records included. */
  async names(): Promise<string[]> {
    return (await readdir(this.host.directory)).filter((name) => isImageName(name)).sort();
  }

  /** Runs `work` while nobody else makes this image by `makingOnce`, in whatever process. */
  makingOnce<T>(name: string, work: () => Promise<T>, lock: LockOptions): Promise<T> {
    requireImageName(name);
    return withFileLock(join(this.host.directory, `${LOCK_PREFIX}${name}`), work, lock);
  }

  /** Runs `work` while no image appears or goes. */
  locked<T>(work: () => Promise<T>): Promise<T> {
    return withFileLock(join(this.host.directory, 'lock'), work);
  }

  /**
   * Makes an image by `build`, which fills the staging's tree. On failure and on abort nothing of it is left.
   * @throws `conflict` where the name is taken; the work is not begun then
   */
  async make(
    name: string,
    build: (staging: Staging) => Promise<MadeImage>,
    signal: AbortSignal,
  ): Promise<ImageRecord> {
    requireImageName(name);
    await this.#requireFree(name);
    const { pid, startTime } = currentProcess();
    const suffix = `${pid}.${startTime}.${randomBytes(6).toString('hex')}`;
    const pending = join(this.host.directory, `.new.${name}.${suffix}`);
    try {
      await mkdir(pending, { mode: 0o700 });
      // Not left to mkdir, whose mode the umask cuts: root of the sandbox has to pass to its tree.
      await chmod(pending, this.host.mode);
      const staging = { tree: join(pending, TREE), scratch: join(pending, 'scratch') };
      await mkdir(staging.scratch, { mode: 0o700 });
      await this.host.makeTree(staging.tree);
      const made = await build(staging);
      if (signal.aborted) throw signal.reason;
      await this.host.removeTrees([staging.scratch]);
      await writeImageRecord(join(pending, RECORD), {
        ...made,
        name,
        arch: this.host.arch,
        ids: this.host.ids,
        createdAt: Date.now(),
      });
      await this.locked(async () => {
        await this.#requireFree(name);
        await rename(pending, this.#place(name));
      });
    } catch (error) {
      await this.host.removeTrees([pending]);
      throw error;
    }
    const record = await this.find(name);
    if (record === null) throw new Error(`image ${name} has gone as soon as it was made`);
    return record;
  }

  /**
   * Removes an image that nothing stands on.
   * @param usersOf ids of what stands on it, looked for while nothing new can
   * @throws `not_found`, or `conflict` naming the users
   */
  async remove(name: string, usersOf: () => Promise<string[]>): Promise<void> {
    requireImageName(name);
    const removed = join(this.host.directory, `${REMOVED_PREFIX}${name}.${randomBytes(6).toString('hex')}`);
    await this.locked(async () => {
      if (!(await this.#isThere(name))) throw await this.notFound(name);
      const users = await usersOf();
      if (users.length > 0) {
        throw new SandboxError('conflict', `Image "${name}" is in use by ${users.join(', ')}.`, {
          hint: 'Stop the sandboxes and delete the snapshots that use it, then remove it.',
          details: { name, used_by: users },
        });
      }
      await rename(this.#place(name), removed);
    });
    await this.host.removeTrees([removed]);
  }

  /** Removes what makers and removers left that died in the middle. */
  async sweep(): Promise<void> {
    const left = (await readdir(this.host.directory)).filter((name) => {
      const pending = PENDING_PREFIX.exec(name);
      if (pending === null) return name.startsWith(REMOVED_PREFIX);
      return identify(Number(pending[1]))?.startTime !== pending[2];
    });
    await this.host.removeTrees(left.map((name) => join(this.host.directory, name)));
    for (const name of await readdir(this.host.directory)) {
      if (name === 'lock' || name.startsWith(LOCK_PREFIX))
        await releaseDeadLock(join(this.host.directory, name));
    }
  }

  async notFound(name: string): Promise<SandboxError> {
    const names = await this.names();
    return new SandboxError('not_found', `Image "${name.slice(0, 64)}" does not exist.`, {
      hint: names.length === 0 ? 'No image has been imported.' : `There are: ${names.join(', ')}.`,
    });
  }

  #place(name: string): string {
    requireImageName(name);
    return join(this.host.directory, name);
  }

  async #isThere(name: string): Promise<boolean> {
    try {
      await lstat(this.#place(name));
      return true;
    } catch (error) {
      if (systemErrorCode(error) === 'ENOENT') return false;
      throw error;
    }
  }

  async #requireFree(name: string): Promise<void> {
    if (!(await this.#isThere(name))) return;
    throw new SandboxError('conflict', `There is already an image "${name}".`, {
      hint: `Choose another name, or remove that one first: \`sandbox-mcp image remove ${name}\`.`,
      details: { name },
    });
  }
}
