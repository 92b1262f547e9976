/** The disk limit of a sandbox, and its disk use. */
import { statfs } from 'node:fs/promises';
import { SandboxError } from '../../../shared/errors.ts';
import { currentProcess } from '../../../shared/process-identity.ts';
import type { OciContext } from '../context.ts';
import type { Host } from '../host/host.ts';
import { readRecord, type SandboxRecord } from '../state/sandbox-record.ts';
import { volumePaths } from '../state/volume-record.ts';
import { countDeletedOf } from '../storage/deleted-files.ts';
import { countRunning } from '../storage/disk-usage.ts';
import type { DiskProbe, DiskUse, SandboxUse, VolumeUse } from '../storage/disk-watch.ts';
import { endSandbox } from './reconcile.ts';

const MIB = 1_048_576;
/** The largest share of the free space for one sandbox, so that no single one fills the disk. */
const SHARE_OF_FREE = 0.9;
/** With less free space than this the disk counts as full: logs and records need space too. */
const LEAST_FREE_MB = 32;
const WALK_LIMIT_MS = 60_000;

async function freeNow(host: Host): Promise<DiskUse> {
  const { bavail, bsize, ffree } = await statfs(host.layout.stateDir);
  return { bytes: bavail * bsize, files: ffree };
}

/**
 * The limit for a new sandbox, in MiB; null if the operator sets none.
 *
 * @param diskMb the operator's limit for each sandbox, null for none
 * @throws SandboxError `unavailable` if the disk is almost full
 */
export async function diskLimitMb(host: Host, diskMb: number | null): Promise<number | null> {
  const freeMb = Math.floor((await freeNow(host)).bytes / MIB);
  if (freeMb < LEAST_FREE_MB) {
    throw new SandboxError('unavailable', `The disk that holds the sandboxes has only ${freeMb} MiB free.`, {
      hint: 'Call sandbox_stop for sandboxes you no longer need; the operator can free space or choose another --state-dir.',
      details: { free_mb: freeMb },
    });
  }
  return diskMb === null ? null : Math.min(diskMb, Math.floor(freeMb * SHARE_OF_FREE));
}

/** Null for a sandbox whose record is gone. */
async function recordOf(host: Host, sandboxId: string): Promise<SandboxRecord | null> {
  try {
    return await readRecord(host.layout, sandboxId);
  } catch (error) {
    if (error instanceof SandboxError && error.code === 'not_found') return null;
    throw error;
  }
}

/**
 * Measures the sandboxes of an engine: their files, deleted ones that are still open, and the logs of their
 * commands count.
 */
export function diskProbe(context: () => OciContext): DiskProbe {
  return {
    free: async () => freeNow(await context().host()),
    used: (sandboxId) => measure(context(), sandboxId),
    end: (sandboxId, used, volume) => endForDiskUse(context(), sandboxId, used, volume),
  };
}

/** Null for a sandbox that has ended. */
async function measure(context: OciContext, sandboxId: string): Promise<SandboxUse | null> {
  const host = await context.host();
  const record = await recordOf(host, sandboxId);
  if (record?.status !== 'running' && record?.status !== 'pending') return null;
  const signal = AbortSignal.timeout(WALK_LIMIT_MS);
  const { mb: volumeMb } = context.volumeLimits;
  try {
    const own = await useOfSandbox(host, record, signal);
    return volumeMb === null ? own : { ...own, volumes: await useOfVolumes(host, record, volumeMb, signal) };
  } catch (error) {
    // Too many files to count exceeds the limit.
    if (signal.aborted) return { bytes: Number.POSITIVE_INFINITY, files: 0 };
    throw error;
  }
}

async function useOfSandbox(host: Host, record: SandboxRecord, signal: AbortSignal): Promise<DiskUse> {
  const { upper, agent, workspace } = host.layout.sandbox(record.sandboxId);
  const folders = record.workspace === null ? [upper, agent] : [upper, agent, workspace];
  const parts = [await countRunning(host, folders, signal)];
  if (record.init !== null) parts.push(await countDeletedOf(host, record.init.pid, signal));
  return {
    bytes: parts.reduce((sum, { bytes }) => sum + bytes, 0),
    files: parts.reduce((sum, { files }) => sum + files, 0),
  };
}

/** Of those that it may write to. */
async function useOfVolumes(
  host: Host,
  record: SandboxRecord,
  limitMb: number,
  signal: AbortSignal,
): Promise<VolumeUse[]> {
  const volumes: VolumeUse[] = [];
  for (const { id, name, readOnly } of record.volumes) {
    if (readOnly) continue;
    const use = await countRunning(host, [volumePaths(host.layout, id).data], signal);
    volumes.push({ name, use, limitMb });
  }
  return volumes;
}

/** @param volume the one that has exceeded its limit; null if the sandbox itself has */
async function endForDiskUse(
  context: OciContext,
  sandboxId: string,
  used: number,
  volume: Pick<VolumeUse, 'name' | 'limitMb'> | null,
): Promise<void> {
  const host = await context.host();
  const { diskMb } = await readRecord(host.layout, sandboxId);
  const took = Number.isFinite(used) ? `took ${Math.ceil(used / MIB)} MiB of disk` : 'were too many to count';
  const [whose, limitMb] =
    volume === null ? ['Its files', diskMb] : [`The files of volume ${volume.name}`, volume.limitMb];
  const reason = `${whose} ${took}; the limit is ${limitMb} MiB, and each file counts as at least 4 KiB.`;
  context.log.warn({ sandbox_id: sandboxId, used_bytes: used }, 'stopping a sandbox: disk limit exceeded');
  await endSandbox(context, sandboxId, { status: 'aborted', cause: 'aborted', reason }, currentProcess());
}
