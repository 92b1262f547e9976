/** The ids that a sandbox's processes have on the host. */
import { withFileLock } from '../../../shared/fs/file-lock.ts';
import { directoryMode } from '../host/directory-mode.ts';
import type { Host } from '../host/host.ts';
import { chooseSandboxRange, type IdMap, moveToRange } from '../host/id-map.ts';
import { claimDirectory, listSandboxIds, readRecord, type SandboxRecord } from '../state/sandbox-record.ts';
import type { SandboxPaths, StateLayout } from '../state/state-layout.ts';

/** What of the host decides about the ids of its sandboxes. */
export type ClaimingHost = Pick<Host, 'layout' | 'diskIds' | 'mounts' | 'canSeparateIds'>;

/** A new sandbox whose directory exists. */
export interface ClaimedSandbox {
  paths: SandboxPaths;
  /** As it was written, with the sandbox's ids. */
  record: SandboxRecord;
}

/** A sandbox with a range of its own has it instead of the disk ids. */
export function sandboxIds(
  { diskIds }: Pick<Host, 'diskIds'>,
  { idBase }: Pick<SandboxRecord, 'idBase'>,
): IdMap {
  return idBase === null ? diskIds : moveToRange(diskIds, idBase);
}

/** Whether each new sandbox gets a range of ids. */
export function separatesIds({ mounts, canSeparateIds }: Pick<Host, 'mounts' | 'canSeparateIds'>): boolean {
  return mounts === 'by-root' && canSeparateIds;
}

/** Creates the directory of a new sandbox, and chooses its ids: no other one that lives has them. */
export async function claimSandbox(host: ClaimingHost, record: SandboxRecord): Promise<ClaimedSandbox> {
  const { layout, diskIds } = host;
  const claim = async (claimed: SandboxRecord): Promise<ClaimedSandbox> => ({
    paths: await claimDirectory(layout, claimed, directoryMode(host)),
    record: claimed,
  });
  if (!separatesIds(host)) return claim(record);
  return withFileLock(layout.sandboxesLock, async () => {
    const taken = [diskIds.hostUid, ...(await rangesInUse(layout))];
    return claim({ ...record, idBase: await chooseSandboxRange(record.sandboxId, taken) });
  });
}

/** By state directory: sandboxes that this process has seen ended. They stay so, and need not be read again. */
const endedIn = new Map<string, Set<string>>();

async function rangesInUse(layout: StateLayout): Promise<number[]> {
  const known = endedIn.get(layout.stateDir) ?? new Set();
  const ended = new Set<string>();
  const bases: number[] = [];
  for (const sandboxId of await listSandboxIds(layout)) {
    // One that is unreadable, or was removed meanwhile, is nobody's.
    const record = known.has(sandboxId) ? null : await readRecord(layout, sandboxId).catch(() => null);
    if (known.has(sandboxId) || (record !== null && record.endedAt !== null)) ended.add(sandboxId);
    else if (record !== null && record.idBase !== null) bases.push(record.idBase);
  }
  endedIn.set(layout.stateDir, ended);
  return bases;
}
