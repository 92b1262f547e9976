import type { Logger } from '../../../shared/log.ts';
import type { Host } from '../host/host.ts';
import { removeTrees } from '../host/remove-tree.ts';
import { updateRecord } from '../state/sandbox-record.ts';
import { type SnapshotOf, stagedPaths } from '../storage/snapshot-commit.ts';

/**
 * Lets the sandbox of a copy be snapshotted again, and removes what a failed copy has staged. Files that
 * cannot be removed are left to the next recovery.
 */
export async function endCopy(
  host: Pick<Host, 'agent' | 'diskIds' | 'layout'>,
  log: Logger,
  record: SnapshotOf,
): Promise<void> {
  const { sandboxId, snapshot } = record;
  try {
    await updateRecord(host.layout, sandboxId, (present) =>
      present.status === 'running' && present.snapshot?.snapshotId === snapshot.snapshotId
        ? { ...present, snapshot: null, worker: null }
        : null,
    );
  } finally {
    await removeTrees(host.agent, host.diskIds, [stagedPaths(host, record).dir]).catch((error: unknown) => {
      log.warn({ sandbox_id: sandboxId, err: error }, 'cannot remove what a failed copy has left');
    });
  }
}
