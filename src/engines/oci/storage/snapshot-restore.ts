import { SandboxError } from '../../../shared/errors.ts';
import { withFileLock } from '../../../shared/fs/file-lock.ts';
import type { Host } from '../host/host.ts';
import { idsOf } from '../host/id-map.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';
import { readLiveSnapshot, type SnapshotRecord } from '../state/snapshot-record.ts';
import { type ClaimedSandbox, claimSandbox } from './sandbox-ids.ts';

/**
 * The snapshot for a new sandbox, which must use the snapshot's runtime: another one has different base
 * files.
 *
 * @throws `not_found`, `invalid_argument` for a different runtime, `conflict` if the snapshot was taken with
 *   different mounts
 */
export async function sourceSnapshot(
  host: Host,
  snapshotId: string,
  runtime: string | null,
): Promise<SnapshotRecord> {
  const snapshot = await readLiveSnapshot(host.layout, snapshotId);
  if (runtime !== null && runtime !== snapshot.runtime) {
    throw new SandboxError(
      'invalid_argument',
      `Snapshot ${snapshotId} has the runtime "${snapshot.runtime}"; it cannot be restored with "${runtime}".`,
      {
        hint: 'Call sandbox_create with the snapshot and omit runtime.',
        details: { snapshot_id: snapshotId, runtime, snapshot_runtime: snapshot.runtime },
      },
    );
  }
  if (snapshot.mounts !== host.mounts || snapshot.ids !== idsOf(host.diskIds)) {
    throw new SandboxError(
      'conflict',
      `Snapshot ${snapshotId} was taken with different mounts or user ids than this server uses.`,
      {
        hint: 'The operator can restore the kernel, or the lines of /etc/subuid, that it was taken with.',
        details: { snapshot_id: snapshotId },
      },
    );
  }
  return snapshot;
}

/**
 * Creates a new sandbox's directory unless its image or snapshot was removed. From then on its record
 * protects them.
 */
export async function claimWithLayers(host: Host, record: SandboxRecord): Promise<ClaimedSandbox> {
  const { image, sourceSnapshotId } = record;
  const claim = () =>
    sourceSnapshotId === null ? claimSandbox(host, record) : claimOnSnapshot(host, sourceSnapshotId, record);
  if (image === null) return claim();
  return host.images.locked(async () => {
    if ((await host.images.find(image)) === null) throw await host.images.notFound(image);
    return claim();
  });
}

function claimOnSnapshot(host: Host, snapshotId: string, record: SandboxRecord): Promise<ClaimedSandbox> {
  return withFileLock(host.layout.snapshotsLock, async () => {
    await readLiveSnapshot(host.layout, snapshotId);
    return claimSandbox(host, record);
  });
}
