/** Brings a record in line with what is really there: ended sandboxes are told as such and leave nothing behind. */
import { join } from 'node:path';
import { isDiskFull } from '../../../shared/fs/disk-full.ts';
import { isProcessAlive } from '../../../shared/process-identity.ts';
import type { StopCause } from '../../engine.ts';
import { cleanUpSandbox } from '../cleanup/cleanup.ts';
import type { OciContext } from '../context.ts';
import { outOfMemoryKills } from '../host/cgroups.ts';
import type { Host } from '../host/host.ts';
import { readUntrusted } from '../protocol/untrusted-file.ts';
import { readRecord, type SandboxRecord, updateRecord, writeRecord } from '../state/sandbox-record.ts';
import { resumeSnapshot } from '../storage/snapshot-commit.ts';
import { collectSnapshots } from '../storage/snapshot-gc.ts';

const MAX_ENDED_FILE = 64;

/** Names the reason that the agent left when it ended by itself. The file is the sandbox's word: only `deadline` counts. */
async function agentSaysDeadline(agentDir: string): Promise<boolean> {
  return (
    (await readUntrusted(join(agentDir, 'ended'), MAX_ENDED_FILE))?.toString('latin1').trim() === 'deadline'
  );
}

/** The record of a sandbox that has come to its end just now. */
export function toEndedRecord(
  record: SandboxRecord,
  status: 'stopped' | 'aborted' | 'failed',
  cause: StopCause | null,
  reason: string | null,
): SandboxRecord {
  return {
    ...record,
    // Nobody needs it any more, and it may hold secrets.
    env: {},
    status,
    stopCause: cause,
    statusReason: reason,
    worker: null,
    init: null,
    endedAt: Date.now(),
  };
}

/** Why a running sandbox's agent is gone. */
async function causeOfEnd(host: Host, record: SandboxRecord): Promise<SandboxRecord> {
  const paths = host.layout.sandbox(record.sandboxId);
  if (await agentSaysDeadline(paths.agent)) return toEndedRecord(record, 'stopped', 'deadline', null);
  if (outOfMemoryKills(record.cgroups) > 0) {
    return toEndedRecord(record, 'aborted', 'out_of_memory', 'It ran out of memory.');
  }
  return toEndedRecord(record, 'aborted', 'aborted', 'It was ended from outside, or the machine restarted.');
}

function isAbandoned(record: SandboxRecord): boolean {
  return record.worker === null || !isProcessAlive(record.worker);
}

/** What the record says wrongly, or null where it is right. Called under its lock. */
async function correction(host: Host, record: SandboxRecord): Promise<SandboxRecord | null> {
  switch (record.status) {
    case 'pending':
      if (isAbandoned(record))
        return toEndedRecord(record, 'failed', null, 'The server that was making it ended.');
      // Without an agent yet, it is up to its maker.
      return record.init === null || isProcessAlive(record.init) ? null : causeOfEnd(host, record);
    case 'running':
      return record.init !== null && isProcessAlive(record.init) ? null : causeOfEnd(host, record);
    case 'snapshotting':
      return isAbandoned(record) ? toEndedRecord(record, 'stopped', 'snapshot', null) : null;
    case 'stopping':
      return isAbandoned(record)
        ? toEndedRecord(record, 'stopped', record.stopCause ?? 'requested', null)
        : null;
    default:
      return null;
  }
}

/** Reads a record and, where its sandbox has ended meanwhile, cleans up after it first. */
export async function reconcileRecord(context: OciContext, sandboxId: string): Promise<SandboxRecord> {
  const host = await context.host();
  const record = await readRecord(host.layout, sandboxId);
  if ((await correction(host, record)) === null) {
    // Another process may have ended it; what this one held open for it goes as well.
    if (record.endedAt !== null) {
      await Promise.all([context.forwards.close(sandboxId), context.gateways.close(sandboxId)]);
    }
    return record;
  }
  const settled = await changeToEnd(host, sandboxId, async (present) => {
    const corrected = await correction(host, present);
    if (corrected !== null && present.status === 'snapshotting') return resumedSnapshot(host, present);
    if (corrected !== null) await cleanUpSandbox(host, present);
    return corrected;
  });
  if (settled.endedAt === null) return settled;
  await Promise.all([context.forwards.close(sandboxId), context.gateways.close(sandboxId)]);
  await releaseLayers(context, settled);
  return settled;
}

/** A snapshot whose maker died comes to its end, or the sandbox goes on. */
async function resumedSnapshot(host: Host, record: SandboxRecord): Promise<SandboxRecord> {
  const outcome = await resumeSnapshot(host, record);
  if (outcome === 'finished') return toEndedRecord(record, 'stopped', 'snapshot', null);
  return { ...record, status: 'running', stopCause: null, snapshot: null, worker: null };
}

/** The last user of a deleted snapshot takes it along. */
async function releaseLayers(context: OciContext, { sandboxId, baseLayers }: SandboxRecord): Promise<void> {
  if (baseLayers.layers.length === 0) return;
  try {
    await collectSnapshots(context);
  } catch (error) {
    // The next recovery collects as well; the sandbox has ended all the same.
    context.log.warn({ sandboxId, err: error }, 'layers that may be unused could not be looked at');
  }
}

/**
 * `updateRecord` for a sandbox that is to end. A full disk must not keep it: then it ends first, which makes room for
 * saying so. A snapshot that is being taken needs its files and is left alone.
 */
async function changeToEnd(
  host: Host,
  sandboxId: string,
  change: (record: SandboxRecord) => Promise<SandboxRecord | null>,
): Promise<SandboxRecord> {
  try {
    return await updateRecord(host.layout, sandboxId, change);
  } catch (error) {
    const record = await readRecord(host.layout, sandboxId);
    if (!isDiskFull(error) || record.status === 'snapshotting') throw error;
    await cleanUpSandbox(host, record);
    return updateRecord(host.layout, sandboxId, change);
  }
}

/** How a sandbox is to end. */
export interface End {
  status: 'stopped' | 'aborted';
  cause: StopCause;
  reason: string | null;
}

/** Ends a sandbox under its record's lock. One that has ended already stays as it is. */
export async function endSandbox(
  context: OciContext,
  sandboxId: string,
  end: End,
  worker: SandboxRecord['worker'],
): Promise<SandboxRecord> {
  const host = await context.host();
  const paths = host.layout.sandbox(sandboxId);
  await Promise.all([context.forwards.close(sandboxId), context.gateways.close(sandboxId)]);
  const settled = await changeToEnd(host, sandboxId, async (present) => {
    const record = present.status === 'snapshotting' ? await resumedSnapshot(host, present) : present;
    if (record.endedAt !== null) return record;
    const stopping: SandboxRecord = { ...record, status: 'stopping', stopCause: end.cause, worker };
    await writeRecord(paths, stopping);
    await cleanUpSandbox(host, stopping);
    return toEndedRecord(stopping, end.status, end.cause, end.reason);
  });
  await releaseLayers(context, settled);
  return settled;
}
