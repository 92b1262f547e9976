/** Removes a sandbox's files, including those owned by ids of its user namespace. */
import { lstatSync, readdirSync, rmdirSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { systemErrorCode } from '../../../shared/errors.ts';
import { findProgram, runHostProgram } from './host-program.ts';
import type { IdMap } from './id-map.ts';
import { runInUserns } from './userns-program.ts';

/**
 * Trees with no more entries than this are removed by root without a process: to start one occupies the server
 * for longer.
 */
const FEW_ENTRIES = 300;

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
  const entries: Entry[] = [];
  try {
    for (const path of paths) {
      // Never what a link leads to.
      const isDirectory = lstatSync(path, { throwIfNoEntry: false })?.isDirectory();
      if (isDirectory === false) entries.push({ path, isDirectory });
      else if (isDirectory === true && !listEntries(path, entries)) return false;
    }
    // What a directory holds comes after it.
    for (const { path, isDirectory } of entries.reverse()) {
      if (isDirectory) rmdirSync(path);
      else unlinkSync(path);
    }
    return true;
  } catch {
    // Somebody else removes it too, or it cannot be removed, which `rm` explains.
    return false;
  }
}

interface Entry {
  readonly path: string;
  readonly isDirectory: boolean;
}

/** Adds a directory and all that it holds; false if that is more than a few entries. */
function listEntries(directory: string, entries: Entry[]): boolean {
  const own = entries.push({ path: directory, isDirectory: true }) - 1;
  try {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      if (entries.length >= FEW_ENTRIES) return false;
      const path = join(directory, entry.name);
      if (!entry.isDirectory()) entries.push({ path, isDirectory: false });
      else if (!listEntries(path, entries)) return false;
    }
    return true;
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    // It is gone already.
    entries.splice(own);
    return true;
  }
}
