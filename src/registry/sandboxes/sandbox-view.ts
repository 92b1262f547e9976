import type { Sandbox } from '../../engines/engine.ts';
import { SandboxError } from '../../shared/errors.ts';
import { SANDBOX_CWD } from '../../shared/fs/sandbox-path.ts';
import type { RegistryContext } from '../context.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import type { SandboxView } from '../types.ts';
import { hasEnded, markEnded } from './sandbox-end.ts';

/**
 * The current state of a sandbox: from the engine, or from the record alone while the engine does not know
 * the sandbox.
 *
 * @throws SandboxError `not_found` if neither has it
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
    if (present?.state === 'creating' && (await context.owners.isAlive(present.owner)))
      return pendingView(present);
    throw error;
  }
}

/** True until the create is complete: until then the end of the session undoes it. */
async function isPending(context: RegistryContext, record: OwnershipRecord): Promise<boolean> {
  if (record.state !== 'creating') return false;
  const present = await context.store.read(record.sandboxId);
  return present?.state === 'creating' && context.owners.isAlive(present.owner);
}

/** Merges the engine's and the registry's state. Also records that a sandbox has ended. */
export async function toSandboxView(
  context: RegistryContext,
  record: OwnershipRecord,
  sandbox: Sandbox,
): Promise<SandboxView> {
  if (hasEnded(sandbox) && record.state !== 'ended') {
    try {
      await markEnded(context, record.sandboxId, sandbox);
    } catch (error) {
      context.log.warn(
        { sandbox_id: record.sandboxId, err: error },
        'Could not record the end of a sandbox.',
      );
    }
  }
  return withOwnership(context, record, sandbox);
}

/** Adds what the registry knows. Forwarded ports show the URLs under which clients reach them. */
export function withOwnership(
  { engine, published: { urlOf } }: RegistryContext,
  { principal, sandboxId, keep }: OwnershipRecord,
  sandbox: Sandbox,
): SandboxView {
  if (urlOf === null || engine.ports?.forwardedUrl === undefined) return { ...sandbox, keep };
  const ports = sandbox.ports.map(({ port, url }) => ({
    port,
    url: url === null ? null : urlOf({ principal, sandboxId, port }),
  }));
  return { ...sandbox, ports, keep };
}

/** A view from the ownership record alone, of a sandbox that could not be created or cannot be read. */
export function failedView(record: OwnershipRecord, reason: string): SandboxView {
  return bareView(record, 'failed', reason);
}

/** A view from the ownership record alone, of a sandbox that is being created. */
export function pendingView(record: OwnershipRecord): SandboxView {
  return bareView(record, 'pending', null);
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
    sourcePath: null,
    stopCause: null,
    statusReason: reason,
    keep: record.keep,
  };
}
