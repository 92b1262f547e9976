import { throwIfCancelled } from '../../shared/errors.ts';
import type { RegistryContext } from '../context.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import { undoCreate } from './create-sandbox.ts';

const FAILURE = 'The replica that created the sandbox has ended, and the sandbox did not start.';

/**
 * Completes a create that another replica began before it ended. Null if there is no sandbox; then the record
 * says why.
 */
export async function finishCreate(
  context: RegistryContext,
  record: OwnershipRecord,
  signal: AbortSignal,
): Promise<OwnershipRecord | null> {
  const { engine, store, log } = context;
  const { sandboxId } = record;
  try {
    await engine.ownership?.take(sandboxId, signal);
    const { createdAt } = await engine.get(sandboxId, signal);
    return await store.update(sandboxId, (present) =>
      present.state === 'creating' ? { ...present, state: 'live', createdAt } : present,
    );
  } catch (error) {
    throwIfCancelled(signal);
    log.warn({ sandbox_id: sandboxId, err: error }, 'Could not complete the create of another replica.');
    await undoCreate(context, record, FAILURE);
    return null;
  }
}
