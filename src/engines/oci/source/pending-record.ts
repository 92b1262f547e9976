/** Records of sandboxes that have booted but are still pending. */
import { SandboxError } from '../../../shared/errors.ts';
import type { OciContext } from '../context.ts';
import type { Host } from '../host/host.ts';
import { reconcileRecord } from '../sandbox/reconcile.ts';
import { type SandboxRecord, updateRecord } from '../state/sandbox-record.ts';
import { outOfMemory } from './guest-program.ts';
import { type FetchedSource, populateSandbox } from './populate.ts';

/** The record of a sandbox that becomes `running`. */
export function runningRecord(record: SandboxRecord): SandboxRecord {
  return { ...record, status: 'running', worker: null };
}

/** Fetches the source of a pending sandbox; returns its record once it is `running`. */
export async function populatedRecord(
  context: OciContext,
  { sandboxId }: SandboxRecord,
  source: FetchedSource,
  signal: AbortSignal,
  report: ((line: string) => void) | null,
): Promise<SandboxRecord> {
  try {
    await populateSandbox(context, sandboxId, source, signal, report);
  } catch (error) {
    // If the sandbox ended during the fetch, that is the reason; reconciling finds out.
    await reconcileRecord(context, sandboxId);
    throw error;
  }
  const { layout } = await context.host();
  const record = await updateRecord(layout, sandboxId, (present) =>
    present.status === 'pending' ? runningRecord(present) : null,
  );
  if (record.status !== 'running') throw endedDuringCreate(record);
  return record;
}

/**
 * The record of a sandbox that ended while it was being created; null if it did not end or has no record.
 * Waits for an end in progress.
 */
export async function concurrentEnd(host: Host, sandboxId: string): Promise<SandboxRecord | null> {
  try {
    const record = await updateRecord(host.layout, sandboxId, () => null);
    return record.endedAt === null ? null : record;
  } catch (error) {
    // An unreadable record is removed like that of an unfinished sandbox.
    if (error instanceof SandboxError) return null;
    throw error;
  }
}

/** The error for a sandbox that ended before it was running. */
export function endedDuringCreate({
  sandboxId,
  stopCause,
  statusReason,
  timeoutMs,
}: SandboxRecord): SandboxError {
  const details = { sandbox_id: sandboxId, stop_cause: stopCause };
  switch (stopCause) {
    case 'deadline':
      return new SandboxError(
        'timeout',
        `The sandbox's timeout of ${timeoutMs} ms expired before its source was fetched.`,
        {
          hint: 'Call sandbox_create with a longer timeout_ms, or a smaller source (git: depth 1).',
          details,
        },
      );
    case 'out_of_memory':
      return outOfMemory();
    default:
      return new SandboxError(
        'conflict',
        `The sandbox ended while its source was fetched: ${statusReason ?? 'it was stopped'}.`,
        {
          hint: 'Call sandbox_create for a new one.',
          details,
        },
      );
  }
}
