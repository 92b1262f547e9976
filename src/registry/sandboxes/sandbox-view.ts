import type { Sandbox } from '../../engines/engine.ts';
import { SandboxError } from '../../shared/errors.ts';
import { SANDBOX_CWD } from '../../shared/fs/sandbox-path.ts';
import type { RegistryContext } from '../context.ts';
import { isAlive } from '../records/owner.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import type { SandboxView } from '../types.ts';
import { hasEnded, markEnded } from './sandbox-end.ts';

/**
 * The sandbox of a record as it is now: by the engine, and by the record alone where there is no more of it, or not yet.
 *
 * @throws SandboxError `not_found` where neither tells of it
 */
export async function getSandboxView(
  context: RegistryContext,
  record: OwnershipRecord,
  signal: AbortSignal,
): Promise<SandboxView> {
  try {
    const sandbox = await context.engine.get(record.sandboxId, signal);
    const early = sandbox.status === 'running' && (await isPending(context, record));
    return await toSandboxView(context, record, early ? { ...sandbox, status: 'pending' } : sandbox);
  } catch (error) {
    if (!(error instanceof SandboxError) || error.code !== 'not_found') throw error;
    const present = await context.store.read(record.sandboxId);
    if (present?.failure !== undefined) return failedView(present, present.failure);
    if (present?.state === 'creating' && isAlive(present.owner)) return bareView(present, 'pending', null);
    throw error;
  }
}

/** True until its maker has made sure that it stays: an end of the session undoes it until then. */
async function isPending(context: RegistryContext, record: OwnershipRecord): Promise<boolean> {
  if (record.state !== 'creating') return false;
  const present = await context.store.read(record.sandboxId);
  return present?.state === 'creating' && isAlive(present.owner);
}

/** The engine's facts with the registry's. Notes on the way that a sandbox has ended, if that can be noted. */
export async function toSandboxView(
  context: RegistryContext,
  record: OwnershipRecord,
  sandbox: Sandbox,
): Promise<SandboxView> {
  if (hasEnded(sandbox) && record.state !== 'ended') {
    try {
      await markEnded(context, record.sandboxId, sandbox);
    } catch (error) {
      context.log.warn({ sandbox_id: record.sandboxId, err: error }, 'An end could not be noted.');
    }
  }
  return { ...sandbox, keep: record.keep };
}

/** What the ownership record alone tells of a sandbox that could not be made, or cannot be read. */
export function failedView(record: OwnershipRecord, reason: string): SandboxView {
  return bareView(record, 'failed', reason);
}

function bareView(record: OwnershipRecord, status: 'pending' | 'failed', reason: string | null): SandboxView {
  const { requested } = record;
  return {
    sandboxId: record.sandboxId,
    status,
    engine: record.engine,
    runtime: requested === undefined ? 'unknown' : (requested.runtime ?? 'default'),
    cwd: SANDBOX_CWD,
    vcpus: record.vcpus,
    memoryMb: requested?.memoryMb ?? 0,
    createdAt: record.createdAt,
    timeoutMs: requested?.timeoutMs ?? 0,
    expiresAt: null,
    ports: (requested?.ports ?? []).map((port) => ({ port, url: null })),
    networkPolicy: requested?.networkPolicy ?? { mode: 'deny-all' },
    interactivePort: null,
    sourceSnapshotId: requested?.sourceSnapshotId ?? null,
    stopCause: null,
    statusReason: reason,
    keep: record.keep,
  };
}
