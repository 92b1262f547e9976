/**
 * The journal of an apply. Its steps name every file before the first is touched. Until it is `committed`,
 * what was staged is removed after a crash; from then on, the steps are carried out to the end.
 */
import { mkdir, readFile, rename, rm, rmdir, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { systemErrorCode } from '../../shared/errors.ts';
import { syncDirectory, writeFileAtomic } from '../../shared/fs/atomic-file.ts';
import { withFileLock } from '../../shared/fs/file-lock.ts';
import { HostDirectory } from '../../shared/fs/host-directory.ts';
import { listDirectory } from '../../shared/fs/list-directory.ts';
import { currentProcess, isProcessAlive } from '../../shared/process-identity.ts';
import { FolderCursor } from './folder-cursor.ts';
import { stampAt } from './stamp.ts';

const stepSchema = z.strictObject({
  path: z.string(),
  /** The name of the staged file beside it; null deletes. */
  staged: z.string().nullable(),
  /** The stamp of the file that it replaces; null for none. */
  expected: z.string().nullable(),
  /** The path that it was renamed from, which another step deletes. */
  from: z.string().nullable().default(null),
});
export type Step = z.output<typeof stepSchema>;

const journalSchema = z.strictObject({
  localPath: z.string(),
  folder: z.string().regex(/^\d+:\d+$/),
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
export async function writeJournal(journals: string, id: string, journal: Journal): Promise<void> {
  await mkdir(journals, { recursive: true, mode: 0o700 });
  await writeFileAtomic(join(journals, `${id}.json`), `${JSON.stringify(journal)}\n`);
}

export async function removeJournal(journals: string, id: string): Promise<void> {
  await rm(join(journals, `${id}.json`), { force: true });
}

/** Called before each step, by its name; tests wait there until the process is killed. */
export type OnStep = (name: string) => void | Promise<void>;

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
  const kept = await renamesInDoubt(folder, placements);
  for (const step of deletions) {
    await onStep(`delete ${step.path}`);
    if (kept.has(step.path) || !(await perform(folder, step))) skipped.push(step.path);
  }
  // A file may take the place of a directory.
  for (const { path } of deletions) await removeEmptyParents(folder, path);
  for (const step of placements) {
    await onStep(`place ${step.path}`);
    if (!(await perform(folder, step))) skipped.push(step.path);
  }
  await onStep('placed');
  await syncParents(folder, steps);
  return skipped;
}

/** What renamed files were called before, where the file under its new name cannot be placed: they stay. */
async function renamesInDoubt(folder: FolderCursor, placements: Step[]): Promise<Set<string>> {
  const kept = new Set<string>();
  for (const { path, staged, expected, from } of placements) {
    if (from === null || staged === null) continue;
    const entry = await folder.entry(path);
    const isUnchanged = entry !== null && (await stampAt(entry.parent, entry.name)) === expected;
    const isStaged = entry !== null && (await stampAt(entry.parent, staged)) !== null;
    // Changed and no more staged: it was placed before a crash.
    if (entry === null || isUnchanged !== isStaged) kept.add(from);
  }
  return kept;
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
    // Without what was staged, nothing was placed.
    if (staged !== null) {
      await rm(parent.at(staged), { force: true });
      return false;
    }
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

/** Held while a folder is changed; `folder` is its id. */
export function folderLock(journals: string, folder: string): string {
  return join(journals, `${folder.replace(':', '-')}.lock`);
}

/**
 * Finishes or undoes what was being applied to a folder when its process died or failed. Call it with the lock
 * of the folder. Journals of other folders, and damaged ones, are left to `recoverJournals`.
 */
export async function finishJournals(
  journals: string,
  { folder, localPath }: Pick<Journal, 'folder' | 'localPath'>,
): Promise<void> {
  for (const file of await journalFiles(journals)) {
    const journal = await readJournal(journals, file).catch(() => null);
    if (journal === null) continue;
    const isOwn = journal.folder === folder || (isOfEarlierBoot(journal) && journal.localPath === localPath);
    // It may have been moved since.
    if (isOwn) await finish(journals, file, { ...journal, localPath });
  }
}

/**
 * Finishes or undoes what processes that have died were applying.
 *
 * @returns the folders
 * @throws AggregateError if some could not be recovered, after all the others
 */
export async function recoverJournals(journals: string): Promise<string[]> {
  const recovered: string[] = [];
  const errors: unknown[] = [];
  for (const file of await journalFiles(journals)) {
    try {
      const seen = await readJournal(journals, file);
      if (seen === null || isProcessAlive(seen.owner)) continue;
      await withFileLock(folderLock(journals, seen.folder), async () => {
        // An apply to the same folder may have finished it meanwhile.
        const journal = await readJournal(journals, file);
        if (journal === null) return;
        if (!(await finish(journals, file, journal))) throw notThere(journal);
        recovered.push(journal.localPath);
      });
    } catch (error) {
      errors.push(new Error(`cannot recover ${file}`, { cause: error }));
    }
  }
  if (errors.length > 0) throw new AggregateError(errors, `${errors.length} journals are not recovered`);
  return recovered;
}

async function journalFiles(journals: string): Promise<string[]> {
  return (await listDirectory(journals)).filter((file) => file.endsWith('.json'));
}

/** Null if it has gone: its apply has ended. */
async function readJournal(journals: string, file: string): Promise<Journal | null> {
  try {
    return journalSchema.parse(JSON.parse(await readFile(join(journals, file), 'utf8')));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
}

/** Returns false, and keeps the journal, if the folder is not there: it may be on a disk that is not mounted. */
async function finish(journals: string, file: string, journal: Journal): Promise<boolean> {
  const root = await openFolder(journal);
  if (root === null) return false;
  const cursor = new FolderCursor(root);
  try {
    if (journal.committed) await performSteps(cursor, journal);
    else await rollBack(cursor, journal);
  } finally {
    await cursor.close();
    await root.close();
  }
  await rm(join(journals, file), { force: true });
  return true;
}

function notThere({ localPath }: Journal): Error {
  return new Error(
    `${localPath}, whose changes were being applied, is gone or another folder: mount it and start again, or remove the journal`,
  );
}

/** Null if it is gone, or another one by now. */
async function openFolder(journal: Journal): Promise<HostDirectory | null> {
  let root: HostDirectory;
  try {
    root = await HostDirectory.open(journal.localPath);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP') return null;
    throw error;
  }
  const [device, inode] = journal.folder.split(':');
  // A boot may number the devices differently.
  const isSameDevice = isOfEarlierBoot(journal) || String(root.stats.dev) === device;
  if (isSameDevice && String(root.stats.ino) === inode) return root;
  await root.close();
  return null;
}

function isOfEarlierBoot({ owner }: Journal): boolean {
  return owner.bootId !== currentProcess().bootId;
}
