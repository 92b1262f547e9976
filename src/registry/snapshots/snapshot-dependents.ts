import type { RegistryContext } from '../context.ts';
import { isOwn } from '../records/is-own.ts';
import type { SnapshotDependents } from '../types.ts';

/** What the principal has made from a snapshot and still uses. It is kept when the snapshot is deleted. */
export async function dependentsOf(
  context: RegistryContext,
  principal: string,
  snapshotId: string,
): Promise<SnapshotDependents> {
  const [sandboxes, snapshots] = await Promise.all([context.store.all(), context.snapshots.all()]);
  const made = sandboxes.filter(
    (record) => record.requested?.sourceSnapshotId === snapshotId && isOwn(context, principal, record),
  );
  const madeIds = new Set(made.map(({ sandboxId }) => sandboxId));
  return {
    sandboxIds: made.filter(({ state }) => state !== 'ended').map(({ sandboxId }) => sandboxId),
    snapshotIds: snapshots
      .filter((record) => madeIds.has(record.sourceSandboxId) && isOwn(context, principal, record))
      .map((record) => record.snapshotId),
  };
}
