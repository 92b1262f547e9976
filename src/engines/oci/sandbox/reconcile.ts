/** Reconciles a record with the actual state: detects ended sandboxes and cleans up after them. */
import { join } from 'node:path';
import { isDiskFull } from '../../../shared/fs/disk-full.ts';
import { readUntrusted } from '../../../shared/fs/untrusted-file.ts';
import { isProcessAlive } from '../../../shared/process-identity.ts';
import type { StopCause } from '../../engine.ts';
import { cleanUpSandbox } from '../cleanup/cleanup.ts';
import type { OciContext } from '../context.ts';
import { outOfMemoryKills } from '../host/cgroups.ts';
import type { Host } from '../host/host.ts';
import { readRecord, type SandboxRecord, updateRecord, writeRecord } from '../state/sandbox-record.ts';
import { resumeSnapshot } from '../storage/snapshot-commit.ts';
import { collectSnapshots } from '../storage/snapshot-gc.ts';
import { continueCopied, isAbandoned } from './continue-copied.ts';

const MAX_ENDED_FILE = 64;
const OWNER_ENDED = 'The server that owned the sandbox has ended its session or exited.';

/** The reason that the agent recorded for ending the sandbox by itself; null if there is none. */
async function agentsReason(agentDir: string): Promise<string | null> {
  return (await readUntrusted(join(agentDir, 'ended'), MAX_ENDED_FILE))?.toString('latin1').trim() ?? null;
}

/** The record of a sandbox that has just ended. */
export function toEndedRecord(
  record: SandboxRecord,
  status: 'stopped' | 'aborted' | 'failed',
  cause: StopCause | null,
  reason: string | null,
): SandboxRecord {
  return {
    ...record,
    // No longer needed, and may hold secrets.
    env: {},
    status,
    stopCause: cause,
    statusReason: reason,
    worker: null,
    init: null,
    endedAt: Date.now(),
  };
}

/** Why a running sandbox's agent has ended. */
async function causeOfEnd(host: Host, record: SandboxRecord): Promise<SandboxRecord> {
  const paths = host.layout.sandbox(record.sandboxId);
  // Even if the sandbox could write this file, it could only claim an ordinary end.
  const reason = await agentsReason(paths.agent);
  if (reason === 'deadline') return toEndedRecord(record, 'stopped', 'deadline', null);
  if (reason === 'owner') return toEndedRecord(record, 'stopped', 'session_end', OWNER_ENDED);
  if (outOfMemoryKills(record.cgroups) > 0) {
    return toEndedRecord(record, 'aborted', 'out_of_memory', 'The sandbox ran out of memory.');
  }
  return toEndedRecord(
    record,
    'aborted',
    'aborted',
    'The sandbox was killed externally or the host rebooted.',
  );
}

/** The corrected record, or null if it is right. Called under its lock. */
async function correction(host: Host, record: SandboxRecord): Promise<SandboxRecord | null> {
  switch (record.status) {
    case 'pending':
      if (isAbandoned(record))
        return toEndedRecord(record, 'failed', null, 'The server that was creating the sandbox exited.');
      // Has no agent yet; its creator is still working on it.
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

/** Reads a record; if its sandbox has ended, cleans up and updates the record first. */
export async function reconcileRecord(context: OciContext, sandboxId: string): Promise<SandboxRecord> {
  const host = await context.host();
  const found = await readRecord(host.layout, sandboxId);
  const record = await continueCopied(host.layout, context.log, found);
  if ((await correction(host, record)) === null) {
    // Another process may have ended it; close what this process holds open for it.
    if (record.endedAt !== null) {
      await Promise.all([context.forwards.close(sandboxId), context.gateways.close(sandboxId)]);
    }
    return record;
  }
  const updated = await changeToEnd(host, sandboxId, async (present) => {
    const corrected = await correction(host, present);
    if (corrected !== null && present.status === 'snapshotting') return resumedSnapshot(host, present);
    if (corrected !== null) await cleanUpSandbox(host, present);
    return corrected;
  });
  if (updated.endedAt === null) return updated;
  await Promise.all([context.forwards.close(sandboxId), context.gateways.close(sandboxId)]);
  await releaseLayers(context, updated);
  return updated;
}

/** Finishes a snapshot whose creator died, or lets the sandbox continue. */
async function resumedSnapshot(host: Host, record: SandboxRecord): Promise<SandboxRecord> {
  const outcome = await resumeSnapshot(host, record);
  if (outcome === 'finished') return toEndedRecord(record, 'stopped', 'snapshot', null);
  return { ...record, status: 'running', stopCause: null, snapshot: null, worker: null };
}

/** Removes a deleted snapshot with its last user. */
async function releaseLayers(context: OciContext, { sandboxId, baseLayers }: SandboxRecord): Promise<void> {
  if (baseLayers.layers.length === 0) return;
  try {
    await collectSnapshots(context);
  } catch (error) {
    // The next recovery collects them; the sandbox has ended regardless.
    context.log.warn({ sandboxId, err: error }, 'cannot collect unused layers');
  }
}

/**
 * `updateRecord` for a sandbox that is being ended. A full disk must not prevent that: then the sandbox is
 * removed first, which frees space for the record. A snapshot in progress needs the files and is left alone.
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

/** How to end a sandbox. */
export interface End {
  status: 'stopped' | 'aborted';
  cause: StopCause;
  reason: string | null;
}

/** Ends a sandbox under its record's lock. Does nothing to one that has already ended. */
export async function endSandbox(
  context: OciContext,
  sandboxId: string,
  end: End,
  worker: SandboxRecord['worker'],
): Promise<SandboxRecord> {
  const host = await context.host();
  const paths = host.layout.sandbox(sandboxId);
  await Promise.all([context.forwards.close(sandboxId), context.gateways.close(sandboxId)]);
  const updated = await changeToEnd(host, sandboxId, async (present) => {
    const record = present.status === 'snapshotting' ? await resumedSnapshot(host, present) : present;
    if (record.endedAt !== null) return record;
    const stopping: SandboxRecord = { ...record, status: 'stopping', stopCause: end.cause, worker };
    await writeRecord(paths, stopping);
    context.owners.close(sandboxId);
    await cleanUpSandbox(host, stopping);
    return toEndedRecord(stopping, end.status, end.cause, end.reason);
  });
  await releaseLayers(context, updated);
  return updated;
}
