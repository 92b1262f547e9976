import { throwIfCancelled } from '../../shared/errors.ts';
import type { RegistryContext } from '../context.ts';
import { ownershipOf } from '../records/snapshot-lookup.ts';

/**
 * Syncs the snapshot records with the engine: records owners for snapshots whose creator died before it
 * could, and removes records of snapshots that are gone. Must run before sandbox records are removed, since
 * those name the owners.
 *
 * @throws SandboxError `cancelled`
 */
export async function recoverSnapshots(context: RegistryContext, signal: AbortSignal): Promise<void> {
  const { engine, snapshots, log } = context;
  if (engine.snapshots === undefined) return;
  try {
    await snapshots.removeAbandoned();
    // Read the records first: a snapshot taken meanwhile then does not look like a record without a snapshot.
    const recorded = (await snapshots.all()).filter((record) => record.engine === engine.name);
    const present = new Set<string>();
    let cursor: string | null = null;
    do {
      const query = { limit: 100, since: null, until: null, cursor };
      const page: Awaited<ReturnType<typeof engine.snapshots.list>> = await engine.snapshots.list(
        query,
        signal,
      );
      for (const snapshot of page.items) {
        present.add(snapshot.snapshotId);
        await ownershipOf(context, snapshot).catch((error: unknown) => {
          log.warn(
            { snapshot_id: snapshot.snapshotId, err: error },
            'Could not determine the owner of a snapshot.',
          );
        });
      }
      cursor = page.nextCursor;
    } while (cursor !== null);
    for (const { snapshotId } of recorded) if (!present.has(snapshotId)) await snapshots.remove(snapshotId);
  } catch (error) {
    throwIfCancelled(signal);
    log.error({ err: error }, 'Could not go through the snapshot records.');
  }
}
