import { currentProcess, isProcessAlive, type ProcessIdentity } from '../../shared/process-identity.ts';
import type { OwnershipRecord } from './sandbox-record.ts';

/** The session that owns a sandbox, and the process in which the session runs. */
export interface Owner {
  sessionId: string;
  process: ProcessIdentity;
}

/** Cached: the identity of this process never changes, and every create needs it. */
const THIS_PROCESS = currentProcess();

/** The owner record for a session of this process. */
export function ownerOf(sessionId: string): Owner {
  return { sessionId, process: THIS_PROCESS };
}

/**
 * False if the owner's process has ended or there is no owner: a session that ended releases what it owned.
 */
export function isAlive(owner: Owner | null): owner is Owner {
  return owner !== null && isProcessAlive(owner.process);
}

/** True if the owner is alive in another process. */
export function ownedByOtherProcess(owner: Owner | null): boolean {
  return isAlive(owner) && owner.process.pid !== THIS_PROCESS.pid;
}

/** True while a living process owns the sandbox, as its creator or because it attached to it. */
export function hasLivingOwner({ owner, coOwners = [] }: OwnershipRecord): boolean {
  return isAlive(owner) || coOwners.some(isProcessAlive);
}

/** True while another living process owns the sandbox as well. */
export function hasLivingCoOwner({ coOwners = [] }: OwnershipRecord): boolean {
  return coOwners.some((process) => process.pid !== THIS_PROCESS.pid && isProcessAlive(process));
}

/** The record with this process added to its owners. */
export function withCoOwner(record: OwnershipRecord): OwnershipRecord {
  if (isAlive(record.owner) && record.owner.process.pid === THIS_PROCESS.pid) return record;
  const others = (record.coOwners ?? []).filter(isProcessAlive);
  if (others.some(({ pid }) => pid === THIS_PROCESS.pid)) return record;
  return { ...record, coOwners: [...others, THIS_PROCESS] };
}
