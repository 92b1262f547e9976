/** Sandboxes that outlive this machine's records, on an engine that keeps them elsewhere. */
import { SandboxError } from '../../shared/errors.ts';
import { isSandboxId } from '../../shared/ids.ts';
import type { RegistryContext } from '../context.ts';
import { RECORD_VERSION } from '../records/record-format.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import type { SandboxView } from '../types.ts';
import { admit } from './admission.ts';
import { hasEnded, markEnded } from './sandbox-end.ts';
import { toSandboxView } from './sandbox-view.ts';

/** The principal of stdio and of the command line, who shares the engine's account with nobody. */
const LOCAL = 'local';

/**
 * Records a sandbox that another state directory created, for this principal. Nobody here owns it: it ends as
 * its creator decided. Null if the engine knows no such sandbox, or if it could be another principal's.
 */
export async function adoptSandbox(
  context: RegistryContext,
  principal: string,
  sandboxId: string,
  signal: AbortSignal,
): Promise<OwnershipRecord | null> {
  const { engine, store, log } = context;
  if (engine.persistence === undefined || !isSandboxId(sandboxId)) return null;
  // Only the record says whose a sandbox is, and without one this principal could take another's by its id.
  if (principal !== LOCAL) return null;
  if ((await store.read(sandboxId)) !== null) return null;
  try {
    const sandbox = await engine.persistence.adopt(sandboxId, signal);
    const record: OwnershipRecord = {
      version: RECORD_VERSION,
      sandboxId,
      engine: engine.name,
      principal,
      keep: true,
      persistent: true,
      vcpus: sandbox.vcpus,
      createdAt: sandbox.createdAt,
      state: 'live',
      endedAt: null,
      owner: null,
    };
    await store.write(record);
    log.info({ sandbox_id: sandboxId }, 'Attached to a sandbox that another state directory created.');
    return record;
  } catch (error) {
    if (error instanceof SandboxError && error.code === 'not_found') return null;
    throw error;
  }
}

/**
 * Starts a stopped persistent sandbox again; any other view is returned as it is.
 *
 * @throws SandboxError `limit_exceeded` if it does not fit the quotas of its principal
 */
export async function resumeIfStopped(
  context: RegistryContext,
  record: OwnershipRecord,
  view: SandboxView,
  signal: AbortSignal,
): Promise<SandboxView> {
  const { persistence } = context.engine;
  const { sandboxId } = record;
  if (!record.persistent || persistence === undefined || !hasEnded(view) || view.status === 'failed')
    return view;
  if (!(await persistence.isResumable(sandboxId, signal))) return view;
  await admit(context, { ...record, state: 'live', endedAt: null }, signal);
  try {
    const resumed = await persistence.resume(sandboxId, signal);
    return await toSandboxView(context, record, resumed);
  } catch (error) {
    await markEnded(context, sandboxId, view);
    throw error;
  }
}
