/**
 * Makes a snapshot of a sandbox whose record says `snapshotting`. Until its directory is staged the sandbox is whole and
 * can go on; from then on every step may be done twice, and whoever finds it unfinished brings it to its end.
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

/** Beside its place, under a name that is no snapshot's. */
export const STAGED_PREFIX = '.new.';

type SnapshotOf = SandboxRecord & { snapshot: NonNullable<SandboxRecord['snapshot']> };

function stagedPaths(host: Host, record: SnapshotOf): SnapshotPaths {
  return snapshotPaths(join(host.layout.snapshots, `${STAGED_PREFIX}${record.snapshot.snapshotId}`));
}

/** True once the snapshot will be made, whatever happens to this process. */
export async function isStaged(host: Host, record: SnapshotOf): Promise<boolean> {
  const made = host.layout.snapshot(record.snapshot.snapshotId).dir;
  return (await pathExists(stagedPaths(host, record).dir)) || (await pathExists(made));
}

/** Whether anything is in a directory; one that this user may not look into has something. */
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

/** What the sandbox has written where, and how its top-level directories themselves are. */
async function survey(host: Host, record: SandboxRecord, layer: string) {
  const directories: string[] = [];
  const owners: BaseLayers['owners'] = {};
  const known = new Set(await readdir(layer));
  for (const { name } of topDirectories(await findBase(host, record), record.baseLayers)) {
    // The host may have come to have more since the sandbox was made.
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
    ids: idsOf(host.idMap),
  };
}

/**
 * The last step from which the sandbox can go on: what a full disk or a missing right would refuse later is tried here,
 * while the sandbox still runs.
 */
export async function stageSnapshot(host: Host, record: SnapshotOf): Promise<void> {
  const staged = stagedPaths(host, record);
  const draft = await recordOf(host, record, host.layout.sandbox(record.sandboxId).upper);
  try {
    await mkdir(staged.dir, { recursive: true });
    await chmod(staged.dir, directoryMode(host));
    // Not flushed: after a power cut the sandbox is gone as well, and its record is made anew.
    await writeSnapshot(staged, draft, false);
  } catch (error) {
    await rm(staged.dir, { recursive: true, force: true });
    throw error;
  }
}

/** What a failed step is told as; the cause stays in the log. */
export function snapshotFailure(sandboxId: string, error: unknown): SandboxError {
  if (error instanceof SandboxError) return error;
  return new SandboxError('server', `The snapshot of ${sandboxId} could not be written.`, {
    hint: 'Call sandbox_get to see the state of the sandbox; the operator can look at the disk of the state directory.',
    details: { sandbox_id: sandboxId },
    cause: error,
  });
}

/**
 * Takes up a snapshot whose maker died. `untouched`: it had not come so far that the sandbox is any other than before.
 *
 * @throws `server` where it cannot be finished now; it can be tried again
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

/** Ends the sandbox and puts its files where the snapshot's are. The snapshot is there once this has resolved. */
export async function finishSnapshot(host: Host, record: SnapshotOf): Promise<void> {
  const { upper } = host.layout.sandbox(record.sandboxId);
  const staged = stagedPaths(host, record);
  const made = host.layout.snapshot(record.snapshot.snapshotId);
  // Nothing may write to the layer any more, or it would go on changing under those who stand on it.
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
