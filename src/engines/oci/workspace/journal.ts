/**
 * The journal of an apply. Its steps name every file before the first is touched. Until it is `committed`,
 * what was staged is removed after a crash; from then on, the steps are carried out to the end.
 */
import { mkdir, readFile, rename, rm, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { systemErrorCode } from '../../../shared/errors.ts';
import { syncDirectory, writeFileAtomic } from '../../../shared/fs/atomic-file.ts';
import { HostDirectory } from '../../../shared/fs/host-directory.ts';
import { listDirectory } from '../../../shared/fs/list-directory.ts';
import { currentProcess, isProcessAlive } from '../../../shared/process-identity.ts';
import type { StateLayout } from '../state/state-layout.ts';
import { FolderCursor } from './folder-cursor.ts';
import { stampAt } from './stamp.ts';

const stepSchema = z.strictObject({
  path: z.string(),
  /** The name of the staged file beside it; null deletes. */
  staged: z.string().nullable(),
  /** The stamp of the file that it replaces; null for none. */
  expected: z.string().nullable(),
});
export type Step = z.output<typeof stepSchema>;

const journalSchema = z.strictObject({
  localPath: z.string(),
  folder: z.string(),
  owner: z.strictObject({ pid: z.number().int().positive(), startTime: z.string(), bootId: z.string() }),
  committed: z.boolean(),
  /** Directories to create, parents first. */
  directories: z.array(z.string()),
  steps: z.array(stepSchema),
});
export type Journal = z.output<typeof journalSchema>;

export function newJournal(localPath: string, folder: string, parts: Pick<Journal, 'directories' | 'steps'>) {
  return { localPath, folder, owner: currentProcess(), committed: false, ...parts };
}

/** Writes it so that it survives a power cut. */
export async function writeJournal(layout: StateLayout, id: string, journal: Journal): Promise<void> {
  await mkdir(layout.journals, { recursive: true, mode: 0o700 });
  await writeFileAtomic(join(layout.journals, `${id}.json`), `${JSON.stringify(journal)}\n`);
}

export async function removeJournal(layout: StateLayout, id: string): Promise<void> {
  await rm(join(layout.journals, `${id}.json`), { force: true });
}

/** Called before each step, by its name; tests end the process there. */
export type OnStep = (name: string) => void;

/**
 * Carries out the steps of a committed journal. Repeating it is harmless.
 *
 * @returns the paths that somebody has changed since the journal was written: theirs stay
 */
export async function performSteps(
  folder: FolderCursor,
  { steps }: Journal,
  onStep: OnStep = () => {},
): Promise<string[]> {
  const skipped: string[] = [];
  const deletions = steps.filter(({ staged }) => staged === null);
  const placements = steps.filter(({ staged }) => staged !== null);
  for (const step of deletions) {
    onStep(`delete ${step.path}`);
    if (!(await perform(folder, step))) skipped.push(step.path);
  }
  // A file may take the place of a directory.
  for (const { path } of deletions) await removeEmptyParents(folder, path);
  for (const step of placements) {
    onStep(`place ${step.path}`);
    if (!(await perform(folder, step))) skipped.push(step.path);
  }
  onStep('placed');
  await syncParents(folder, steps);
  return skipped;
}

/** Git keeps no empty directories either. */
async function removeEmptyParents(folder: FolderCursor, path: string): Promise<void> {
  const names = path.split('/').slice(0, -1);
  for (; names.length > 0; names.pop()) if (!(await removeEmpty(folder, names.join('/')))) return;
}

/** Returns whether the step is done, now or before. */
async function perform(folder: FolderCursor, { path, staged, expected }: Step): Promise<boolean> {
  const entry = await folder.entry(path);
  if (entry === null) return staged === null;
  const { parent, name } = entry;
  const found = await stampAt(parent, name);
  try {
    if (found !== expected) {
      // Without its staged file, the step was done before a crash.
      const undone = staged === null ? found !== null : (await stampAt(parent, staged)) !== null;
      if (staged !== null) await rm(parent.at(staged), { force: true });
      return !undone;
    }
    if (staged === null) await unlink(parent.at(name));
    else return await replace(parent, staged, name);
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
  return true;
}

/** Returns false if a directory with files is in the way. */
async function replace(parent: HostDirectory, staged: string, name: string): Promise<boolean> {
  try {
    await rename(parent.at(staged), parent.at(name));
    return true;
  } catch (error) {
    if (systemErrorCode(error) !== 'EISDIR') throw error;
  }
  try {
    await rmdir(parent.at(name));
    await rename(parent.at(staged), parent.at(name));
    return true;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'EISDIR') throw error;
    await rm(parent.at(staged), { force: true });
    return false;
  }
}

/** So that a power cut does not undo the steps after the journal has gone. */
async function syncParents(folder: FolderCursor, steps: Step[]): Promise<void> {
  const synced = new Set<string>();
  for (const { path } of steps) {
    const directory = path.slice(0, Math.max(0, path.lastIndexOf('/')));
    if (synced.has(directory)) continue;
    synced.add(directory);
    const entry = await folder.entry(path);
    if (entry !== null) await syncDirectory(entry.parent.self);
  }
}

/** Removes what was staged. */
export async function rollBack(folder: FolderCursor, { steps, directories }: Journal): Promise<void> {
  for (const { path, staged } of steps) {
    const entry = staged === null ? null : await folder.entry(path);
    if (entry !== null && staged !== null) await rm(entry.parent.at(staged), { force: true });
  }
  for (const path of [...directories].reverse()) await removeEmpty(folder, path);
}

/** Removes a directory if it is empty. */
async function removeEmpty(folder: FolderCursor, path: string): Promise<boolean> {
  const entry = await folder.entry(path);
  if (entry === null) return false;
  try {
    await rmdir(entry.parent.at(entry.name));
    return true;
  } catch {
    // Not empty, or not there.
    return false;
  }
}

/**
 * Finishes or undoes what processes that have died were applying, and what failed in the middle.
 *
 * @param locked the id of the folder whose lock the caller holds, so that nobody is applying to it
 * @returns the folders
 */
export async function recoverJournals(layout: StateLayout, locked: string | null = null): Promise<string[]> {
  const recovered: string[] = [];
  for (const file of await listDirectory(layout.journals)) {
    if (!file.endsWith('.json')) continue;
    const text = await readFile(join(layout.journals, file), 'utf8');
    const journal = journalSchema.parse(JSON.parse(text));
    if (journal.folder !== locked && isProcessAlive(journal.owner)) continue;
    await recoverOne(journal);
    await rm(join(layout.journals, file), { force: true });
    recovered.push(journal.localPath);
  }
  return recovered;
}

async function recoverOne(journal: Journal): Promise<void> {
  let root: HostDirectory;
  try {
    root = await HostDirectory.open(journal.localPath);
  } catch (error) {
    // Without the folder there is nothing to finish.
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return;
    throw error;
  }
  const cursor = new FolderCursor(root);
  try {
    if (`${root.stats.dev}:${root.stats.ino}` !== journal.folder) return;
    if (journal.committed) await performSteps(cursor, journal);
    else await rollBack(cursor, journal);
  } finally {
    await cursor.close();
    await root.close();
  }
}
