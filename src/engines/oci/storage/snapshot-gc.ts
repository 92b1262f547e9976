/**
 * Garbage collection of snapshots. A deleted or expired one keeps its layer while an active sandbox or
 * another snapshot is based on it. Only records decide; there is no reference count that a crash could
 * corrupt.
 */
import { readdir, rename } from 'node:fs/promises';
import { join } from 'node:path';
import { SandboxError } from '../../../shared/errors.ts';
import { withFileLock } from '../../../shared/fs/file-lock.ts';
import type { OciContext } from '../context.ts';
import type { Host } from '../host/host.ts';
import { removeTrees } from '../host/remove-tree.ts';
import { listSandboxIds, readRecord } from '../state/sandbox-record.ts';
import {
  hasExpired,
  listSnapshotIds,
  readSnapshot,
  type SnapshotRecord,
  updateSnapshot,
} from '../state/snapshot-record.ts';
import { isBeingCopied, STAGED_PREFIX } from './snapshot-commit.ts';

/** Prefix of a snapshot directory that is being removed. */
const REMOVED_PREFIX = '.gone.';

/** All existing records. Rejects if one cannot be read: its dependencies are unknown. */
async function readAll<Record>(ids: string[], read: (id: string) => Promise<Record>): Promise<Record[]> {
  const records: Record[] = [];
  for (const id of ids) {
    try {
      records.push(await read(id));
    } catch (error) {
      if (!(error instanceof SandboxError) || error.code !== 'not_found') throw error;
    }
  }
  return records;
}

/** The records of all sandboxes, including ended ones. Rejects if one is damaged. */
export function readSandboxes({ layout }: Host) {
  return listSandboxIds(layout).then((ids) => readAll(ids, (id) => readRecord(layout, id)));
}

/** The records of all snapshots, including deleted ones. Rejects if one is damaged. */
export async function readSnapshots({ layout }: Host): Promise<SnapshotRecord[]> {
  return readAll(await listSnapshotIds(layout), (id) => readSnapshot(layout, id));
}

async function expire(host: Host, records: SnapshotRecord[]): Promise<SnapshotRecord[]> {
  return Promise.all(
    records.map((record) =>
      record.status === 'created' && hasExpired(record)
        ? updateSnapshot(host.layout, record.snapshotId, (present) => ({ ...present, status: 'deleted' }))
        : record,
    ),
  );
}

/** Renames unused snapshots for removal. Called under the lock of all snapshots. */
async function moveUnused(host: Host): Promise<string[]> {
  // Sandboxes first: one that is becoming a snapshot writes the snapshot's record before its own ends.
  const sandboxes = await readSandboxes(host);
  const snapshots = await expire(host, await readSnapshots(host));
  const users = [
    ...sandboxes.filter(({ endedAt }) => endedAt === null).map(({ baseLayers }) => baseLayers.layers),
    ...snapshots.filter(({ status }) => status === 'created').map(({ layers }) => layers),
  ];
  const used = new Set(users.flat().map(({ snapshotId }) => snapshotId));
  const moved: string[] = [];
  for (const { snapshotId } of snapshots) {
    if (used.has(snapshotId)) continue;
    const removed = join(host.layout.snapshots, `${REMOVED_PREFIX}${snapshotId}`);
    await rename(host.layout.snapshot(snapshotId).dir, removed);
    moved.push(removed);
  }
  return moved;
}

/**
 * Removes expired snapshots, and deleted ones that nothing is based on any more.
 * @throws `server` if a record cannot be read; nothing is removed then
 */
export async function collectSnapshots(context: OciContext): Promise<void> {
  const host = await context.host();
  const moved = await withFileLock(host.layout.snapshotsLock, () => moveUnused(host));
  await removeTrees(host.agent, host.diskIds, moved);
}

/** The `/etc` templates that snapshots use. */
export async function templatesOfSnapshots(host: Host): Promise<string[]> {
  return (await readSnapshots(host)).map(({ etcTemplate }) => etcTemplate);
}

/**
 * Removes what processes left that died while creating or removing a snapshot. Reconcile the sandboxes first.
 */
export async function removeSnapshotLeftovers(host: Host): Promise<void> {
  // List these before reading the sandboxes, so that nothing staged later is in the list.
  const names = (await readdir(host.layout.snapshots)).filter((name) => name.startsWith('.'));
  const sandboxes = await readSandboxes(host);
  const making = new Set(
    sandboxes
      .filter((record) => record.status === 'snapshotting' || isBeingCopied(record))
      .map(({ snapshot }) => snapshot?.snapshotId),
  );
  const left = names.filter(
    (name) =>
      name.startsWith(REMOVED_PREFIX) ||
      (name.startsWith(STAGED_PREFIX) && !making.has(name.slice(STAGED_PREFIX.length))),
  );
  await removeTrees(
    host.agent,
    host.diskIds,
    left.map((name) => join(host.layout.snapshots, name)),
  );
}
