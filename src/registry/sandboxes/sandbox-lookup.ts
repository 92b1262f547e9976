import { SandboxError } from '../../shared/errors.ts';
import { unknownSandbox } from '../../shared/id-errors.ts';
import type { RegistryContext } from '../context.ts';
import { isOwn } from '../records/is-own.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';

/**
 * The record of a sandbox that this principal may see. Another principal's sandbox is indistinguishable from
 * one that never existed, so that its existence is not revealed.
 *
 * @throws SandboxError `not_found`, or `internal` for a record that cannot be read
 */
export async function findRecord(
  context: RegistryContext,
  principal: string,
  sandboxId: string,
): Promise<OwnershipRecord> {
  const record = await context.store.read(sandboxId);
  if (record === null || !isOwn(context, principal, record)) throw unknownSandbox(sandboxId);
  return record;
}

/** The error for a call without `sandbox_id` in a session that has no current sandbox. */
export function noCurrentSandbox(): SandboxError {
  return new SandboxError('not_found', 'This session has no current sandbox.', {
    hint: 'Call sandbox_create for one, or sandbox_get with a sandbox_id from sandbox_list.',
  });
}
