import { SandboxError } from '../../shared/errors.ts';
import { unknownSandbox } from '../../shared/id-errors.ts';
import type { RegistryContext } from '../context.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';

/**
 * The record of a sandbox that this principal may see. Another principal's is answered like one that never was: the
 * difference would tell that it exists.
 *
 * @throws SandboxError `not_found`, or `internal` for a record that cannot be read
 */
export async function findRecord(
  context: RegistryContext,
  principal: string,
  sandboxId: string,
): Promise<OwnershipRecord> {
  const record = await context.store.read(sandboxId);
  if (record === null || !isVisible(context, principal, record)) throw unknownSandbox(sandboxId);
  return record;
}

/** True for a record of this principal, made by this engine: another engine knows nothing of the sandbox. */
export function isVisible(context: RegistryContext, principal: string, record: OwnershipRecord): boolean {
  return record.principal === principal && record.engine === context.engine.name;
}

/** What a call without `sandbox_id` meets in a session that has created and got none. */
export function noCurrentSandbox(): SandboxError {
  return new SandboxError('not_found', 'This session has no current sandbox.', {
    hint: 'Call sandbox_create for one, or sandbox_get with a sandbox_id from sandbox_list.',
  });
}
