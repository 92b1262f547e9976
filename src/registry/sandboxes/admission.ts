import { mapConcurrent } from '../../shared/async/map-concurrent.ts';
import { SandboxError, throwIfCancelled } from '../../shared/errors.ts';
import type { RegistryContext } from '../context.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import { hasEnded, markEnded } from './sandbox-end.ts';

/**
 * Writes the record of a sandbox to be created if it fits the quotas of its principal. The record is the
 * reservation: creates of one principal pass through here one at a time, so two of them cannot share the last
 * place.
 *
 * @throws SandboxError `limit_exceeded`
 */
export async function admit(
  context: RegistryContext,
  record: OwnershipRecord,
  signal: AbortSignal,
): Promise<void> {
  await context.lock.run(`admission of ${record.principal}`, async () => {
    if (findExcess(context, record, await countedRecords(context, record.principal)) !== null) {
      // A sandbox may have expired since its record was written. Ask the engine only if that can make room.
      await refreshLiveRecords(context, record.principal, signal);
      const excess = findExcess(context, record, await countedRecords(context, record.principal));
      if (excess !== null) throw excess;
    }
    throwIfCancelled(signal);
    await context.store.write(record);
  });
}

/**
 * The live sandboxes of a principal, or of all, except those owned by another running process: two editors do
 * not share a quota.
 */
export async function countedRecords(
  context: RegistryContext,
  principal?: string,
): Promise<OwnershipRecord[]> {
  const records = await context.store.unfinished();
  return records.filter(
    (record) =>
      record.state !== 'ended' &&
      (principal === undefined || record.principal === principal) &&
      record.engine === context.engine.name &&
      !context.owners.ownedByOtherProcess(record.owner),
  );
}

async function refreshLiveRecords(
  context: RegistryContext,
  principal: string,
  signal: AbortSignal,
): Promise<void> {
  const records = await countedRecords(context, principal);
  const live = records.filter((record) => record.state === 'live');
  await mapConcurrent(live, 8, async ({ sandboxId }) => {
    try {
      const sandbox = await context.engine.get(sandboxId, signal);
      if (hasEnded(sandbox)) await markEnded(context, sandboxId, sandbox);
    } catch (error) {
      if (!(error instanceof SandboxError)) throw error;
      if (error.code === 'not_found') await markEnded(context, sandboxId, null);
      // After any other error the sandbox still counts: a failing query must not lift a quota.
    }
  });
}

function findExcess(
  context: RegistryContext,
  wanted: OwnershipRecord,
  present: OwnershipRecord[],
): SandboxError | null {
  const { maxSandboxes, maxVcpus } = context.config;
  if (present.length + 1 > maxSandboxes) {
    return new SandboxError(
      'limit_exceeded',
      `The limit of ${maxSandboxes} sandboxes is reached (${present.length} in use).`,
      {
        hint: 'Call session_info or sandbox_list to see them, and sandbox_stop for one that you no longer need.',
        details: { limit: 'max_sandboxes', max: maxSandboxes, used: present.length },
      },
    );
  }
  const used = present.reduce((sum, record) => sum + record.vcpus, 0);
  if (used + wanted.vcpus > maxVcpus) {
    return new SandboxError(
      'limit_exceeded',
      `The sandbox needs ${wanted.vcpus} vcpus, but ${used} of ${maxVcpus} are already in use.`,
      {
        hint: 'Call sandbox_create with fewer resources.vcpus, or sandbox_stop for a sandbox that you no longer need.',
        details: { limit: 'max_vcpus', max: maxVcpus, used, wanted: wanted.vcpus },
      },
    );
  }
  return null;
}
