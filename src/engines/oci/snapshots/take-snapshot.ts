import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { newSnapshotId } from '../../../shared/ids.ts';
import { currentProcess } from '../../../shared/process-identity.ts';
import type { OciContext } from '../context.ts';
import type { Host } from '../host/host.ts';
import { reconcileRecord, toEndedRecord } from '../sandbox/reconcile.ts';
import { type SandboxRecord, updateRecord, writeRecord } from '../state/sandbox-record.ts';
import { maxLayers } from '../storage/overlay-layers.ts';
import {
  finishSnapshot,
  isBeingCopied,
  isStaged,
  snapshotFailure,
  stageSnapshot,
} from '../storage/snapshot-commit.ts';

const DAY_MS = 86_400_000;
const DEFAULT_EXPIRATION_MS = 30 * DAY_MS;

/** Epoch ms, or null for never. */
function expiryOf(expirationMs: number | null): number | null {
  const duration = expirationMs ?? DEFAULT_EXPIRATION_MS;
  if (duration === 0) return null;
  const expiresAt = Date.now() + duration;
  if (Number.isSafeInteger(duration) && duration >= DAY_MS && Number.isSafeInteger(expiresAt))
    return expiresAt;
  throw new SandboxError(
    'invalid_argument',
    `expiration_ms is ${duration}; it must be 0 (never) or at least ${DAY_MS}.`,
    { hint: `Call sandbox_snapshot with expiration_ms 0 or at least ${DAY_MS}; the default is 30 days.` },
  );
}

export function requireRunning(record: SandboxRecord): void {
  const { sandboxId, status } = record;
  if (isBeingCopied(record)) throw copyInProgress(sandboxId);
  if (status === 'running') return;
  const under = status === 'snapshotting' || record.stopCause === 'snapshot';
  const message = under
    ? `A snapshot of sandbox ${sandboxId} is in progress or was already taken.`
    : `Sandbox ${sandboxId} is ${status}; only a running sandbox can be snapshotted.`;
  throw new SandboxError('conflict', message, {
    hint: under
      ? 'Call snapshot_list to find that snapshot, and sandbox_create with it as source to continue.'
      : 'Call sandbox_create for a new sandbox; the files of this one are gone.',
    details: { sandbox_id: sandboxId, status },
  });
}

function copyInProgress(sandboxId: string): SandboxError {
  return new SandboxError('conflict', `A snapshot of sandbox ${sandboxId} is in progress.`, {
    hint: 'Call sandbox_snapshot again when it has been taken; snapshot_list shows it then.',
    details: { sandbox_id: sandboxId },
  });
}

function requireRoom(host: Host, record: SandboxRecord): void {
  const max = maxLayers(host);
  if (record.baseLayers.layers.length < max) return;
  throw new SandboxError(
    'limit_exceeded',
    `Sandbox ${record.sandboxId} is based on a chain of ${record.baseLayers.layers.length} snapshots; the limit is ${max}.`,
    {
      hint: 'Copy the files to a new sandbox with sandbox_download_file and sandbox_upload_file, which starts a new chain.',
      details: { limit: 'snapshot_chain', max },
    },
  );
}

/**
 * What a snapshot of a running sandbox begins with.
 *
 * @throws `invalid_argument` for the expiry, `conflict` unless the sandbox is running, `limit_exceeded` for
 *   the chain
 */
export async function prepareSnapshot(context: OciContext, sandboxId: string, expirationMs: number | null) {
  const host = await context.host();
  const snapshot = { snapshotId: newSnapshotId(), expiresAt: expiryOf(expirationMs) };
  const before = await reconcileRecord(context, sandboxId);
  requireRunning(before);
  requireRoom(host, before);
  return { host, snapshot, before };
}

/**
 * Stops a sandbox and keeps its files as a snapshot, whose id it returns. Cannot be aborted once begun: half
 * of it would be neither a sandbox nor a snapshot.
 *
 * @throws `invalid_argument` for the expiry, `conflict` unless the sandbox is running, `limit_exceeded` for
 *   the chain
 */
export async function takeSnapshot(
  context: OciContext,
  sandboxId: string,
  expirationMs: number | null,
  signal: AbortSignal,
): Promise<string> {
  const { host, snapshot } = await prepareSnapshot(context, sandboxId, expirationMs);
  throwIfCancelled(signal);
  let failure: unknown = null;
  const taken = updateRecord(host.layout, sandboxId, async (record) => {
    requireRunning(record);
    const taking = {
      ...record,
      status: 'snapshotting' as const,
      stopCause: 'snapshot' as const,
      snapshot,
      worker: currentProcess(),
    };
    await writeRecord(host.layout.sandbox(sandboxId), taking);
    try {
      await stageSnapshot(host, taking);
      await context.forwards.close(sandboxId);
      await finishSnapshot(host, taking);
      return toEndedRecord(taking, 'stopped', 'snapshot', null);
    } catch (error) {
      failure = snapshotFailure(sandboxId, error);
      // With no worker recorded, the next reconcile finishes it.
      return (await isStaged(host, taking)) ? { ...taking, worker: null } : record;
    }
  });
  await taken.catch((error: unknown) => {
    throw snapshotFailure(sandboxId, error);
  });
  if (failure !== null) throw failure;
  return snapshot.snapshotId;
}
