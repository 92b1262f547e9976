/** The records of sandboxes that live and are not handed out yet. */
import { SandboxError } from '../../../shared/errors.ts';
import type { OciContext } from '../context.ts';
import type { Host } from '../host/host.ts';
import { reconcileRecord } from '../sandbox/reconcile.ts';
import { type SandboxRecord, updateRecord } from '../state/sandbox-record.ts';
import { outOfMemory } from './guest-program.ts';
import { type FetchedSource, populateSandbox } from './populate.ts';

/** The record of a sandbox that is handed out. */
export function runningRecord(record: SandboxRecord): SandboxRecord {
  return { ...record, status: 'running', worker: null };
}

/** Fetches the source of a pending sandbox, and answers its record once it is `running`. */
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
    // If it has come to its end under the fetch, that is the reason; whoever asks settles it.
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
 * The record of a sandbox that came to its end while it was made; null for one that did not, or has none. Somebody who
 * is ending it just now is waited for.
 */
export async function concurrentEnd(host: Host, sandboxId: string): Promise<SandboxRecord | null> {
  try {
    const record = await updateRecord(host.layout, sandboxId, () => null);
    return record.endedAt === null ? null : record;
  } catch (error) {
    // What cannot be read is removed as one that never came to be.
    if (error instanceof SandboxError) return null;
    throw error;
  }
}

/** Why a sandbox was gone before it was handed out. */
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
        `The sandbox's time of ${timeoutMs} ms was up before its source was there.`,
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
