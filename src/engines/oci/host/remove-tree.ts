/** Removes a sandbox's files, including those owned by ids of its user namespace. */
import {
  closeSync,
  constants,
  lstatSync,
  opendirSync,
  openSync,
  rmdirSync,
  type Stats,
  unlinkSync,
} from 'node:fs';
import { findProgram, runHostProgram } from './host-program.ts';
import type { IdMap } from './id-map.ts';
import { runInUserns } from './userns-program.ts';

/**
 * Trees with no more entries and no more disk use than this are removed by root without a process: to start one
 * occupies the server for longer, while the blocks of large files take as long to free.
 */
const FEW_ENTRIES = 300;
const FEW_BYTES = 16 * 1_048_576;
const BLOCK_BYTES = 512;
const DIRECTORY_FLAGS = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * Removes these trees. For large ones, and for ordinary users, by `rm`, which continues if this process ends and
 * is faster than removing many files from here. No symbolic link is followed. Rejects if something remains.
 */
export async function removeTrees(agent: string, idMap: IdMap, paths: string[]): Promise<void> {
  if (paths.length === 0 || (idMap.kind === 'root' && removeFew(paths))) return;
  const rm = findProgram('rm');
  if (rm === null) throw new Error('this host has no rm');
  const args = ['-rf', '--', ...paths];
  const { exitCode, output } =
    idMap.kind === 'root'
      ? await runHostProgram(rm, args, { detached: true })
      : await runInUserns(agent, idMap, rm, args);
  if (exitCode !== 0) throw new Error(`could not remove a sandbox's files: ${output.trim()}`);
}

/** Removes the trees if they are small; false if something may be left. */
function removeFew(paths: readonly string[]): boolean {
  const few = new FewEntries();
  try {
    if (!paths.every((path) => few.add(path))) return false;
    few.remove();
    return true;
  } catch {
    // Somebody else removes it too, or it cannot be removed, which `rm` explains.
    return false;
  } finally {
    few.close();
  }
}

/** What small trees hold. Directories are held open, so that none is followed that a link has replaced. */
class FewEntries {
  readonly #entries: { path: string; stats: Stats }[] = [];
  readonly #held: number[] = [];
  #bytes = 0;

  /** Adds what is at a path, with all that it holds; false if that is too much. */
  add(path: string): boolean {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return true;
    this.#bytes += stats.blocks * BLOCK_BYTES;
    if (this.#entries.length === FEW_ENTRIES || this.#bytes > FEW_BYTES) return false;
    this.#entries.push({ path, stats });
    return !stats.isDirectory() || this.#addContents(path);
  }

  remove(): void {
    // What a directory holds comes after it.
    for (const { path, stats } of this.#entries.reverse()) {
      if (stats.isDirectory()) rmdirSync(path);
      else unlinkSync(path);
    }
  }

  close(): void {
    for (const fd of this.#held) closeSync(fd);
  }

  #addContents(path: string): boolean {
    const fd = openSync(path, DIRECTORY_FLAGS);
    this.#held.push(fd);
    const self = `/proc/self/fd/${fd}`;
    // Not read as a whole: it may hold millions of names.
    const directory = opendirSync(`${self}/.`);
    try {
      for (let entry = directory.readSync(); entry !== null; entry = directory.readSync())
        if (!this.add(`${self}/${entry.name}`)) return false;
      return true;
    } finally {
      directory.closeSync();
    }
  }
}
