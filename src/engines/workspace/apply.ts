/** Writes changes of a sandbox to the folder of its workspace: all of them or, after a crash, none. */
import { createHash, randomBytes } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { lchown, lstat, mkdir, open, symlink } from 'node:fs/promises';
import { SandboxError, systemErrorCode } from '../../shared/errors.ts';
import { writeFileAtomic } from '../../shared/fs/atomic-file.ts';
import { withFileLock } from '../../shared/fs/file-lock.ts';
import type { HostDirectory, HostEntry } from '../../shared/fs/host-directory.ts';
import { staysInside } from '../../shared/fs/link-target.ts';
import { stageName } from '../../shared/fs/stage-name.ts';
import type { WorkspaceApplied, WorkspaceChange, WorkspaceEntry } from '../engine.ts';
import { copyContent } from './copy-content.ts';
import {
  finishJournals,
  folderLock,
  type Journal,
  newJournal,
  type OnStep,
  performSteps,
  removeJournal,
  rollBack,
  type Step,
  writeJournal,
} from './journal.ts';
import type { OpenWorkspace } from './open-workspace.ts';
import { ParentFolders } from './parent-folders.ts';
import type { SandboxFiles, SideFiles } from './sides.ts';
import { APPLIED_DELETION, stampAt } from './stamp.ts';

/**
 * One after the other for each folder: two sandboxes may work on it. An apply that was interrupted is finished
 * first, so that what follows sees the folder as it then is.
 */
export async function withFolderLock<Result>(
  { journals, record }: OpenWorkspace,
  signal: AbortSignal,
  work: () => Promise<Result>,
): Promise<Result> {
  await mkdir(journals, { recursive: true, mode: 0o700 });
  const settled = async () => {
    await finishJournals(journals, record);
    return work();
  };
  return withFileLock(folderLock(journals, record.folder), settled, { signal });
}

/**
 * Applies those changes that are not refused. Call it with the lock of the folder.
 *
 * @param onStep for tests
 */
export async function applyChanges(
  workspace: OpenWorkspace,
  changes: WorkspaceChange[],
  signal: AbortSignal,
  onStep: OnStep = () => {},
): Promise<WorkspaceApplied> {
  const { folder, journals, record, sandboxId } = workspace;
  const parents = new ParentFolders(folder);
  const checked = await refuseBlocked(parents, await refuseUnreadable(workspace, changes, signal));
  const refused = checked.filter((change) => change.refused !== null);
  const wanted = checked.filter((change) => change.refused === null);
  if (wanted.length === 0) return { applied: [], refused };
  const steps = await stepsOf(workspace, wanted);
  const placed = steps.flatMap(({ path, staged }) => (staged === null ? [] : [path]));
  const directories = await parents.missingFor(placed);
  const journal: Journal = newJournal(record.localPath, record.folder, { directories, steps });
  const id = `${sandboxId}-${randomBytes(6).toString('hex')}`;
  await onStep('begin');
  await writeJournal(journals, id, journal);
  try {
    await stageAll(workspace, journal, wanted, signal, onStep);
    await requireUnchanged(workspace, steps);
  } catch (error) {
    await rollBack(folder, journal);
    await removeJournal(journals, id);
    throw error;
  }
  await onStep('commit');
  await writeJournal(journals, id, { ...journal, committed: true });
  const skipped = new Set(await performSteps(folder, journal, onStep));
  const done = steps.filter(({ path }) => !skipped.has(path));
  await rememberApplied(workspace, done);
  await removeJournal(journals, id);
  const isSkipped = ({ path, from }: WorkspaceChange) =>
    skipped.has(path) || (from !== null && skipped.has(from));
  const late = wanted.filter(isSkipped).map((change) => ({ ...change, refused: CHANGED_LATE }));
  return { applied: wanted.filter((change) => !isSkipped(change)), refused: [...refused, ...late] };
}

/** Gets the files ready, and refuses those that cannot be read. */
async function refuseUnreadable(
  { sandbox, requireAlive }: OpenWorkspace,
  changes: readonly WorkspaceChange[],
  signal: AbortSignal,
): Promise<WorkspaceChange[]> {
  const files = changes.flatMap(({ path, after, refused }) =>
    refused === null && after?.type === 'file' ? [{ path, ...after }] : [],
  );
  const unreadable = new Set(await sandbox.prepare(files, signal));
  if (unreadable.size > 0) await requireAlive(signal);
  return changes.map((change) =>
    change.refused === null && unreadable.has(change.path) ? { ...change, refused: UNREADABLE } : change,
  );
}

/** Refuses files whose folder would be where the host has a file: that one has to go first, by itself. */
async function refuseBlocked(
  parents: ParentFolders,
  changes: readonly WorkspaceChange[],
): Promise<WorkspaceChange[]> {
  const deleted = new Set(changes.flatMap(({ path, after }) => (after === null ? [path] : [])));
  const checked: WorkspaceChange[] = [];
  for (const change of changes) {
    const { path, after, refused } = change;
    const obstacle = after === null || refused !== null ? null : await parents.obstacleTo(path);
    const rest = deleted.has(obstacle ?? '') ? ', which goes first: apply again' : '';
    const reason = `its folder ${JSON.stringify(obstacle)} is a file on the host${rest}`;
    checked.push(obstacle === null ? change : { ...change, refused: reason });
  }
  return checked;
}

const UNREADABLE = "the sandbox's user cannot read it, or it is being written";
const CHANGED_LATE = 'the host changed it while changes were being applied';

async function stepsOf({ folder }: OpenWorkspace, changes: WorkspaceChange[]): Promise<Step[]> {
  const steps: Step[] = [];
  const add = async (path: string, deletes: boolean, from: string | null = null): Promise<void> => {
    const entry = await folder.entry(path);
    const expected = entry === null ? null : await stampAt(entry.parent, entry.name);
    steps.push({ path, staged: deletes ? null : stageName(entry?.name ?? 'new'), expected, from });
  };
  for (const { path, after, from } of changes) {
    await add(path, after === null, from);
    if (from !== null) await add(from, true);
  }
  // A file may take the place of a directory whose files go.
  return steps.sort((a, b) => Number(a.staged !== null) - Number(b.staged !== null));
}

async function stageAll(
  workspace: OpenWorkspace,
  { directories, steps }: Journal,
  changes: WorkspaceChange[],
  signal: AbortSignal,
  onStep: OnStep,
): Promise<void> {
  const { folder } = workspace;
  for (const path of directories) {
    await onStep(`directory ${path}`);
    const entry = await present(folder.entry(path), path);
    await mkdir(entry.parent.at(entry.name), { mode: 0o755 });
    await own(entry.parent, entry.name, entry.parent.stats);
  }
  const wanted = new Map(changes.map((change) => [change.path, change]));
  for (const { path, staged } of steps) {
    const change = staged === null ? undefined : wanted.get(path);
    if (staged === null || change?.after == null) continue;
    signal.throwIfAborted();
    await onStep(`stage ${path}`);
    const known = await unchangedContent(folder, change, signal);
    const { parent, name } = await present(folder.entry(path), path);
    if (change.after.type === 'symlink') await stageLink(workspace.sandbox, path, parent, staged);
    else await stageFile(workspace.sandbox, path, parent, staged, { ...change.after, known }, signal);
    const before = change.status === 'modified' ? await lstat(parent.at(name)).catch(() => null) : null;
    await own(parent, staged, before ?? parent.stats);
  }
}

/**
 * The hash of what the folder has, if only the name or the mode is different. In the cloud the sandbox has said so,
 * and what is applied must be nothing else.
 */
async function unchangedContent(
  folder: SideFiles,
  { status, path, from, after }: WorkspaceChange,
  signal: AbortSignal,
): Promise<Buffer | null> {
  if (after?.type !== 'file' || (status !== 'renamed' && status !== 'mode')) return null;
  const known = await folder.digest(from ?? path, after.sizeBytes, signal);
  if (known === null) throw changed(path);
  return known;
}

async function present(entry: Promise<HostEntry | null>, path: string): Promise<HostEntry> {
  const found = await entry;
  if (found !== null) return found;
  throw changed(path);
}

function changed(path: string): SandboxError {
  return new SandboxError(
    'conflict',
    `${path} changed while changes were being applied; nothing was applied.`,
    {
      hint: 'Call sandbox_changes to see what differs now, then sandbox_apply_changes again.',
      details: { path },
    },
  );
}

/** What root writes belongs to the owner of what it replaces, or of the directory. */
async function own(parent: HostDirectory, name: string, { uid, gid }: Stats): Promise<void> {
  if (process.getuid?.() === 0) await lchown(parent.at(name), uid, gid);
}

async function stageLink(
  sandbox: SandboxFiles,
  path: string,
  parent: HostDirectory,
  staged: string,
): Promise<void> {
  const target = await sandbox.target(path);
  // The sandbox may have replaced the link since its target was checked.
  if (target === null || !staysInside(path, target)) throw changed(path);
  await symlink(target, parent.at(staged));
}

async function stageFile(
  sandbox: SandboxFiles,
  path: string,
  parent: HostDirectory,
  staged: string,
  { mode, sizeBytes, known }: WorkspaceEntry & { known: Buffer | null },
  signal: AbortSignal,
): Promise<void> {
  const source = await sandbox.open(path, signal);
  if (source === null) throw changed(path);
  try {
    const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
    const file = await open(parent.at(staged), flags, 0o600);
    try {
      const hash = known === null ? null : createHash('sha256');
      await copyContent(source, file, sizeBytes, hash, signal);
      if (known !== null && hash?.digest().equals(known) !== true) throw changed(path);
      await file.chmod(mode);
      await file.sync();
    } finally {
      await file.close();
    }
  } finally {
    await source.close();
  }
}

async function requireUnchanged({ folder }: OpenWorkspace, steps: Step[]): Promise<void> {
  for (const { path, expected } of steps) {
    const entry = await folder.entry(path);
    const stamp = entry === null ? null : await stampAt(entry.parent, entry.name);
    if (stamp !== expected) throw changed(path);
  }
}

/** So that the next comparison does not take what was applied for a change by somebody else. */
async function rememberApplied(workspace: OpenWorkspace, steps: Step[]): Promise<void> {
  const applied = { ...workspace.applied };
  for (const { path } of steps) {
    const entry = await workspace.folder.entry(path);
    const stamp = entry === null ? null : await stampAt(entry.parent, entry.name);
    applied[path] = stamp ?? APPLIED_DELETION;
  }
  try {
    await writeFileAtomic(workspace.appliedFile, JSON.stringify(applied), 0o600, false);
  } catch (error) {
    // The sandbox has ended meanwhile.
    if (systemErrorCode(error) !== 'ENOENT') throw error;
  }
}
