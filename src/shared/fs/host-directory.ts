/**
 * Directories of this machine, held open. A path can lead elsewhere by the time it is used again, if another
 * user may rename or replace one of its parents; a descriptor cannot. On Linux every name below is looked up
 * in the held directory itself, through `/proc/self/fd`. Other systems have no such way from Node, so names
 * there are joined to paths.
 */
import { constants, type Stats } from 'node:fs';
import { type FileHandle, lstat, mkdir, open, readdir, rmdir, unlink } from 'node:fs/promises';
import { basename, dirname, join, parse, sep } from 'node:path';
import { systemErrorCode } from '../errors.ts';

/**
 * Not among Node's constants; one value on every architecture that Node supports. Needs no permission to read
 * or list.
 */
const O_PATH = 0x20_0000;
const DIRECTORY_FLAGS = O_PATH | constants.O_DIRECTORY | constants.O_NOFOLLOW;
const HELD = process.platform === 'linux';

export class HostDirectory {
  /** Where it was when it was opened; for messages and notes. */
  readonly path: string;
  readonly stats: Stats;
  readonly #handle: FileHandle | null;

  private constructor(path: string, handle: FileHandle | null, stats: Stats) {
    this.path = path;
    this.#handle = handle;
    this.stats = stats;
  }

  /**
   * Opens a directory by an absolute, real path, one name after the other: none of them may be a symbolic
   * link.
   * @param make whether to create what is missing, with mode 0777 less the umask
   * @param onMade called with the parent and the name of each created directory
   * @throws the system error: `ELOOP` or `ENOTDIR` for a link or a file on the way
   */
  static async open(
    path: string,
    make = false,
    onMade: (parent: HostDirectory, name: string) => void = () => {},
  ): Promise<HostDirectory> {
    const { root } = parse(path);
    const names = path.slice(root.length).split(sep);
    let directory = await HostDirectory.#openAt(root, root);
    for (const name of names.filter((name) => name !== '')) {
      const parent = directory;
      let made = false;
      try {
        directory = await parent.directory(name).catch(async (error: unknown) => {
          if (!make || systemErrorCode(error) !== 'ENOENT') throw error;
          await mkdir(parent.at(name));
          made = true;
          return parent.directory(name);
        });
      } catch (error) {
        await parent.close();
        throw error;
      }
      if (made) onMade(parent, name);
      else await parent.close();
    }
    return directory;
  }

  /** A path that leads to `name` in this directory as long as it is open. Never follow a link there. */
  at(name: string): string {
    return this.#handle === null ? join(this.path, name) : `/proc/self/fd/${this.#handle.fd}/${name}`;
  }

  /** A path that leads to this directory as long as it is open. */
  get self(): string {
    return this.#handle === null ? this.path : `/proc/self/fd/${this.#handle.fd}/.`;
  }

  /** Its descriptor, for a child process; null on systems where directories are not held. */
  get fd(): number | null {
    return this.#handle?.fd ?? null;
  }

  /** Opens a directory in this one. A symbolic link is refused. */
  async directory(name: string): Promise<HostDirectory> {
    return HostDirectory.#openAt(this.at(name), join(this.path, name));
  }

  async close(): Promise<void> {
    await this.#handle?.close();
  }

  static async #openAt(at: string, path: string): Promise<HostDirectory> {
    if (!HELD) {
      const stats = await lstat(at);
      if (stats.isDirectory()) return new HostDirectory(path, null, stats);
      throw Object.assign(new Error(`ENOTDIR: not a directory, open '${path}'`), { code: 'ENOTDIR', path });
    }
    const handle = await open(at, DIRECTORY_FLAGS);
    try {
      return new HostDirectory(path, handle, await handle.stat());
    } catch (error) {
      await handle.close();
      throw error;
    }
  }
}

/** A name in a held directory. `name` is `.` for a root directory. */
export interface HostEntry {
  readonly parent: HostDirectory;
  readonly name: string;
}

/** Opens the parent of an absolute, real path; the last name may be anything, or nothing. */
export async function openHostEntry(
  path: string,
  ...making: [make?: boolean, onMade?: (parent: HostDirectory, name: string) => void]
): Promise<HostEntry> {
  return { parent: await HostDirectory.open(dirname(path), ...making), name: basename(path) || '.' };
}

/**
 * Removes a file or a directory with all that it contains, without following a link that is put in its path
 * meanwhile. A missing one is not an error.
 */
export async function removeHostTree({ parent, name }: HostEntry): Promise<void> {
  try {
    await unlink(parent.at(name));
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT') return;
    // Linux answers EISDIR for a directory, other systems EPERM.
    if (code !== 'EISDIR' && code !== 'EPERM') throw error;
    const directory = await parent.directory(name);
    try {
      await clearHostDirectory(directory);
    } finally {
      await directory.close();
    }
    await rmdir(parent.at(name));
  }
}

/** Removes the contents of a directory. */
export async function clearHostDirectory(directory: HostDirectory): Promise<void> {
  for (const name of await readdir(directory.self)) await removeHostTree({ parent: directory, name });
}
