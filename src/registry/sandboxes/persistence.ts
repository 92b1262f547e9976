/** Sandboxes that outlive this machine's records, on an engine that keeps them elsewhere. */
import { SandboxError } from '../../shared/errors.ts';
import { isSandboxId } from '../../shared/ids.ts';
import type { RegistryContext } from '../context.ts';
import { RECORD_VERSION } from '../records/record-format.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import type { SandboxView } from '../types.ts';
import { hasEnded } from './sandbox-end.ts';

/**
 * Records a sandbox that another state directory created, for this principal. Nobody here owns it: it ends as
 * its creator decided. Null if the engine knows no such sandbox, or if it is another principal's here.
 */
export async function adoptSandbox(
  context: RegistryContext,
  principal: string,
  sandboxId: string,
  signal: AbortSignal,
): Promise<OwnershipRecord | null> {
  const { engine, store, log } = context;
  if (engine.persistence === undefined || !isSandboxId(sandboxId)) return null;
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

/** Starts a stopped persistent sandbox again; any other view is returned as it is. */
export async function resumeIfStopped(
  { engine, store }: RegistryContext,
  { sandboxId, persistent }: OwnershipRecord,
  view: SandboxView,
  signal: AbortSignal,
): Promise<SandboxView> {
  if (!persistent || engine.persistence === undefined || !hasEnded(view) || view.status === 'failed')
    return view;
  const resumed = await engine.persistence.resume(sandboxId, signal);
  if (hasEnded(resumed)) return view;
  await store.update(sandboxId, (record) => ({ ...record, state: 'live', endedAt: null }));
  return { ...resumed, keep: view.keep };
}
