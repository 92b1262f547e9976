/**
 * Makes a snapshot of a sandbox whose record is `snapshotting`. Until its directory is staged, the sandbox is
 * intact and can continue; from then on every step is idempotent, and any process that finds it unfinished
 * completes it.
 */
import { chmod, lstat, mkdir, opendir, readdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';
import { syncDirectory } from '../../../shared/fs/atomic-file.ts';
import { pathExists } from '../../../shared/fs/path-exists.ts';
import { isProcessAlive } from '../../../shared/process-identity.ts';
import { cleanUpSandbox, killSandboxProcesses } from '../cleanup/cleanup.ts';
import { directoryMode } from '../host/directory-mode.ts';
import type { Host } from '../host/host.ts';
import { idsOf } from '../host/id-map.ts';
import type { BaseLayers, SandboxRecord } from '../state/sandbox-record.ts';
import { type SnapshotRecord, writeSnapshot } from '../state/snapshot-record.ts';
import { type SnapshotPaths, STATE_FORMAT, snapshotPaths } from '../state/state-layout.ts';
import { findBase } from './base-layers.ts';
import { topDirectories } from './overlay-layers.ts';

/** In the snapshots directory, under a name that is not a snapshot id. */
export const STAGED_PREFIX = '.new.';

export type SnapshotOf = SandboxRecord & { snapshot: NonNullable<SandboxRecord['snapshot']> };

export function stagedPaths(host: Pick<Host, 'layout'>, record: SnapshotOf): SnapshotPaths {
  return snapshotPaths(join(host.layout.snapshots, `${STAGED_PREFIX}${record.snapshot.snapshotId}`));
}

/** True once the snapshot will be completed, even if this process dies. */
export async function isStaged(host: Host, record: SnapshotOf): Promise<boolean> {
  const made = host.layout.snapshot(record.snapshot.snapshotId).dir;
  return (await pathExists(stagedPaths(host, record).dir)) || (await pathExists(made));
}

/** Whether a directory is empty; one that this user may not read counts as not empty. */
async function isEmpty(path: string): Promise<boolean> {
  try {
    const directory = await opendir(path);
    try {
      return (await directory.read()) === null;
    } finally {
      await directory.close();
    }
  } catch (error) {
    if (systemErrorCode(error) === 'EACCES') return false;
    throw error;
  }
}

/** Which top-level directories the sandbox has written to, and the mode and owner of each. */
async function survey(host: Host, record: SandboxRecord, layer: string) {
  const directories: string[] = [];
  const owners: BaseLayers['owners'] = {};
  const known = new Set(await readdir(layer));
  for (const { name } of topDirectories(await findBase(host, record), record.baseLayers)) {
    // The host may have gained directories since the sandbox was created.
    if (!known.has(name)) continue;
    const path = join(layer, name);
    const { mode, uid, gid } = await lstat(path);
    owners[name] = { mode: mode & 0o7777, uid, gid };
    if (!(await isEmpty(path))) directories.push(name);
  }
  return { directories, owners };
}

async function recordOf(host: Host, record: SnapshotOf, layer: string): Promise<SnapshotRecord> {
  const { snapshotId, expiresAt } = record.snapshot;
  const { directories, owners } = await survey(host, record, layer);
  return {
    format: STATE_FORMAT,
    snapshotId,
    sourceSandboxId: record.sandboxId,
    status: 'created',
    runtime: record.runtime,
    etcTemplate: record.etcTemplate,
    image: record.image,
    shell: record.shell,
    layers: [{ snapshotId, directories }, ...record.baseLayers.layers],
    owners,
    ownBytes: null,
    createdAt: Date.now(),
    expiresAt,
    mounts: host.mounts,
    ids: idsOf(host.diskIds),
  };
}

/**
 * The last step after which the sandbox can continue: it tries what a full disk or missing permissions would
 * make fail later, while the sandbox is still running.
 */
export async function stageSnapshot(host: Host, record: SnapshotOf): Promise<void> {
  const staged = stagedPaths(host, record);
  const draft = await recordOf(host, record, host.layout.sandbox(record.sandboxId).upper);
  try {
    await mkdir(staged.dir, { recursive: true });
    await chmod(staged.dir, directoryMode(host));
    // Not flushed: after a power cut the sandbox is gone as well, and the record is written again.
    await writeSnapshot(staged, draft, false);
  } catch (error) {
    await rm(staged.dir, { recursive: true, force: true });
    throw error;
  }
}

/** The error of a failed step; the cause stays in the log. */
export function snapshotFailure(sandboxId: string, error: unknown): SandboxError {
  if (error instanceof SandboxError) return error;
  return new SandboxError('server', `Cannot write the snapshot of ${sandboxId}.`, {
    hint: 'Call sandbox_get to see the state of the sandbox; the operator can check the disk of the state directory.',
    details: { sandbox_id: sandboxId },
    cause: error,
  });
}

/**
 * Resumes a snapshot whose creator died. `untouched`: nothing of the sandbox had been changed yet.
 *
 * @throws `server` if it cannot be finished now; it can be retried
 */
export async function resumeSnapshot(host: Host, record: SandboxRecord): Promise<'untouched' | 'finished'> {
  if (!isSnapshotOf(record)) return 'untouched';
  const alive = record.init !== null && isProcessAlive(record.init);
  if (alive && !(await isStaged(host, record))) return 'untouched';
  try {
    await finishSnapshot(host, record);
    return 'finished';
  } catch (error) {
    throw snapshotFailure(record.sandboxId, error);
  }
}

function isSnapshotOf(record: SandboxRecord): record is SnapshotOf {
  return record.snapshot !== null;
}

/** Whether a snapshot of a running sandbox is being copied. */
export function isBeingCopied({ status, snapshot, worker }: SandboxRecord): boolean {
  return status === 'running' && snapshot !== null && worker !== null && isProcessAlive(worker);
}

/** Makes a snapshot of a staged layer that is complete. It exists once this resolves. */
export async function commitCopy(host: Host, record: SnapshotOf): Promise<void> {
  const staged = stagedPaths(host, record);
  await writeSnapshot(staged, await recordOf(host, record, staged.layer));
  await syncDirectory(staged.dir);
  await rename(staged.dir, host.layout.snapshot(record.snapshot.snapshotId).dir);
  await syncDirectory(host.layout.snapshots);
}

/** Ends the sandbox and moves its files to the snapshot. The snapshot exists once this resolves. */
export async function finishSnapshot(host: Host, record: SnapshotOf): Promise<void> {
  const { upper } = host.layout.sandbox(record.sandboxId);
  const staged = stagedPaths(host, record);
  const made = host.layout.snapshot(record.snapshot.snapshotId);
  // Nothing may write to the layer any more, or it would change under the sandboxes based on it.
  await killSandboxProcesses(host, record.sandboxId, record.init);
  if (!(await pathExists(made.dir))) {
    await mkdir(staged.dir, { recursive: true });
    await chmod(staged.dir, directoryMode(host));
    const moved = await pathExists(staged.layer);
    await writeSnapshot(staged, await recordOf(host, record, moved ? staged.layer : upper));
    if (!moved) await rename(upper, staged.layer);
    await syncDirectory(staged.dir);
    await rename(staged.dir, made.dir);
    await syncDirectory(host.layout.snapshots);
  }
  await cleanUpSandbox(host, record);
}
