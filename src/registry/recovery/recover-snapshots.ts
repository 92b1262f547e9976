import { throwIfCancelled } from '../../shared/errors.ts';
import type { RegistryContext } from '../context.ts';
import { ownershipOf } from '../records/snapshot-lookup.ts';

/**
 * Brings the records of snapshots in line with the engine's: owners for those whose maker died before it could record
 * one, and no record for those that are gone. Has to come before sandboxes are forgotten, whose records name the owners.
 *
 * @throws SandboxError `cancelled`
 */
export async function recoverSnapshots(context: RegistryContext, signal: AbortSignal): Promise<void> {
  const { engine, snapshots, log } = context;
  if (engine.snapshots === undefined) return;
  try {
    await snapshots.removeAbandoned();
    // Read first: one that is taken meanwhile is then no record without a snapshot.
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
            'The owner of a snapshot cannot be told.',
          );
        });
      }
      cursor = page.nextCursor;
    } while (cursor !== null);
    for (const { snapshotId } of recorded) if (!present.has(snapshotId)) await snapshots.remove(snapshotId);
  } catch (error) {
    throwIfCancelled(signal);
    log.error({ err: error }, 'The records of snapshots could not be looked through.');
  }
}
