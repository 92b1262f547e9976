/**
 * Images on disk, one directory each. It is built under a temporary name and then renamed, so an image exists
 * completely or not at all. One lock keeps an image from being removed while a new sandbox starts to use it.
 */
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { SandboxError } from '../shared/errors.ts';
import { type LockOptions, releaseDeadLock, withFileLock } from '../shared/fs/file-lock.ts';
import { pathExists } from '../shared/fs/path-exists.ts';
import { currentProcess, identify } from '../shared/process-identity.ts';
import type { CaLinks } from './etc-files.ts';
import { isImageName, requireImageName } from './image-name.ts';
import {
  CA_LINKS_VERSION,
  type ImageRecord,
  type MadeImage,
  readCaCertificates,
  readImageRecord,
  writeImageRecord,
} from './image-record.ts';
import { shortReference } from './registry/reference.ts';
import type { Unpacker } from './unpacker.ts';

/** What the store needs from the engine. */
export interface ImageStoreHost {
  /** The images directory; the engine creates it. */
  readonly directory: string;
  /** Permission bits of an image's own directory. */
  readonly mode: number;
  readonly arch: string;
  /** The id mapping of the files: under another mapping their owners would be wrong. */
  readonly ids: string;
  /** Whether ids other than root's are mapped; if not, root owns every file. */
  readonly hasIds: boolean;
  readonly caLinks: CaLinks;
  /** Creates an empty directory that only the sandboxes' root can access. */
  makeTree(path: string): Promise<void>;
  /**
   * Starts to unpack into such a directory, with the owners that sandboxes see.
   * @param layers the directory that `shared` files are in
   */
  startUnpacker(tree: string, layers: string | null, signal: AbortSignal): Promise<Unpacker>;
  /** Removes whole trees, whoever owns the files in them. */
  removeTrees(paths: string[]): Promise<void>;
}

/** The working directories of an image being built. */
export interface Staging {
  /** Becomes the image. */
  readonly tree: string;
  /** For temporary files. */
  readonly scratch: string;
  /** Where layers of the image are unpacked; the directory does not exist at first. */
  readonly layers: string;
  /** A file for the CA certificates of the image, in PEM; absent if it has none. */
  readonly caCertificates: string;
}

const TREE = 'tree';
const RECORD = 'record.json';
const CA_CERTIFICATES = 'ca-certificates.pem';
/** `.new.<name>.<pid>.<start time>.<random>`: the name identifies the process that builds it. */
const PENDING_PREFIX = /^\.new\..+\.(\d+)\.(\d*)\.[0-9a-f]{12}$/;
const REMOVED_PREFIX = '.gone.';
const LOCK_PREFIX = '.lock.';

export class ImageStore {
  readonly host: ImageStoreHost;

  constructor(host: ImageStoreHost) {
    this.host = host;
  }

  /** Where layers are that images share. */
  get layersDirectory(): string {
    return join(this.host.directory, '.layers');
  }

  /** A name for what is to be removed: the next sweep does what this process cannot. */
  removedPlace(name: string): string {
    return join(this.host.directory, `${REMOVED_PREFIX}${name}.${randomBytes(6).toString('hex')}`);
  }

  /** The image's files. */
  treeOf(name: string): string {
    return join(this.#place(name), TREE);
  }

  /** The CA certificates that the image brings, in PEM; empty if it has none. */
  caCertificates(name: string): Promise<string> {
    return readCaCertificates(join(this.#place(name), CA_CERTIFICATES));
  }

  /** Null if there is none. @throws `server` for a damaged record */
  async find(name: string): Promise<ImageRecord | null> {
    if (!isImageName(name)) return null;
    return readImageRecord(join(this.#place(name), RECORD), name);
  }

  /** Valid values of `runtime`: image names, or references for images that were pulled. */
  async runtimes(): Promise<string[]> {
    const found: string[] = [];
    for (const name of await this.names()) {
      const record = await this.#findReadable(name);
      if (record?.digest == null) found.push(name);
      else found.push(...record.references.map(shortReference));
    }
    return found;
  }

  /**
   * The image that was pulled as this reference (canonical form); null if there is none. Damaged records are
   * skipped.
   */
  async findPulled(reference: string): Promise<ImageRecord | null> {
    for (const name of await this.names()) {
      const record = await this.#findReadable(name);
      if (record?.references.includes(reference)) return record;
    }
    return null;
  }

  /** Makes `reference` refer to this image and to no other. @throws `not_found` */
  async tag(name: string, reference: string): Promise<ImageRecord> {
    return this.locked(async () => {
      let tagged: ImageRecord | null = null;
      for (const other of await this.names()) {
        const record = await this.#findReadable(other);
        if (record === null) continue;
        const references = record.references.filter((one) => one !== reference);
        if (other === name) references.push(reference);
        const changed = { ...record, references };
        if (references.join() !== record.references.join()) {
          await writeImageRecord(join(this.#place(other), RECORD), changed);
        }
        if (other === name) tagged = changed;
      }
      if (tagged === null) throw await this.notFound(name);
      return tagged;
    });
  }

  /**
   * Removes one of several references of an image. Returns false, without a change, if it is the only one.
   */
  async untag(name: string, reference: string): Promise<boolean> {
    return this.locked(async () => {
      const record = await this.find(name);
      const references = record?.references.filter((one) => one !== reference) ?? [];
      if (record === null || references.length === 0) return false;
      await writeImageRecord(join(this.#place(name), RECORD), { ...record, references });
      return true;
    });
  }

  async #findReadable(name: string): Promise<ImageRecord | null> {
    try {
      return await this.find(name);
    } catch (error) {
      if (error instanceof SandboxError && error.code === 'server') return null;
      throw error;
    }
  }

  /** The names of all images, sorted, including those with a damaged record. */
  async names(): Promise<string[]> {
    return (await readdir(this.host.directory)).filter((name) => isImageName(name)).sort();
  }

  /** Runs `work` while no other caller of `makingOnce`, in any process, builds this image. */
  makingOnce<T>(name: string, work: () => Promise<T>, lock: LockOptions): Promise<T> {
    requireImageName(name);
    return withFileLock(join(this.host.directory, `${LOCK_PREFIX}${name}`), work, lock);
  }

  /** Runs `work` while no image is added or removed. */
  locked<T>(work: () => Promise<T>): Promise<T> {
    return withFileLock(join(this.host.directory, 'lock'), work);
  }

  /**
   * Creates an image with `build`, which fills the staging tree. Leaves nothing behind on failure or abort.
   * @throws `conflict` if the name is taken; `build` is not called then
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
    const unneeded = this.removedPlace(name);
    try {
      await mkdir(pending, { mode: 0o700 });
      // mkdir applies the umask, but the sandbox's root must be able to traverse this directory.
      await chmod(pending, this.host.mode);
      const staging = {
        tree: join(pending, TREE),
        scratch: join(pending, 'scratch'),
        layers: join(pending, 'layers'),
        caCertificates: join(pending, CA_CERTIFICATES),
      };
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
        caLinks: CA_LINKS_VERSION,
        createdAt: Date.now(),
      });
      await this.locked(async () => {
        await this.#requireFree(name);
        // It kept the image's layers; from here on the record does.
        if (await pathExists(staging.layers)) await rename(staging.layers, unneeded);
        await rename(pending, this.#place(name));
      });
    } catch (error) {
      await this.host.removeTrees([pending]);
      throw error;
    }
    await this.host.removeTrees([unneeded]);
    const record = await this.find(name);
    if (record === null) throw new Error(`image ${name} disappeared right after it was created`);
    return record;
  }

  /**
   * Removes an unused image.
   * @param usersOf returns the ids of its users; called while no new user can appear
   * @throws `not_found`, or `conflict` with the users
   */
  async remove(name: string, usersOf: () => Promise<string[]>): Promise<void> {
    requireImageName(name);
    const removed = this.removedPlace(name);
    await this.locked(async () => {
      if (!(await this.#isThere(name))) throw await this.notFound(name);
      const users = await usersOf();
      if (users.length > 0) {
        throw new SandboxError('conflict', `Image "${name}" is in use by ${users.join(', ')}.`, {
          hint: 'Stop the sandboxes and delete the snapshots that use it, then try again.',
          details: { name, used_by: users },
        });
      }
      await rename(this.#place(name), removed);
    });
    await this.host.removeTrees([removed]);
  }

  /**
   * Removes what processes left that died while they built or removed an image. True if there was such: layers may be
   * unused then.
   */
  async sweep(): Promise<boolean> {
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
    return left.length > 0;
  }

  async notFound(name: string): Promise<SandboxError> {
    const names = await this.runtimes();
    return new SandboxError('not_found', `Image "${name.slice(0, 64)}" does not exist.`, {
      hint: names.length === 0 ? 'There are no images.' : `Existing images: ${names.join(', ')}.`,
    });
  }

  #place(name: string): string {
    requireImageName(name);
    return join(this.host.directory, name);
  }

  #isThere(name: string): Promise<boolean> {
    return pathExists(this.#place(name));
  }

  async #requireFree(name: string): Promise<void> {
    if (!(await this.#isThere(name))) return;
    throw new SandboxError('conflict', `Image "${name}" already exists.`, {
      hint: `Choose another name, or remove the existing image first: \`sandbox-mcp image remove ${name}\`.`,
      details: { name },
    });
  }
}
