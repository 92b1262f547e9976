import { currentProcess, isProcessAlive, type ProcessIdentity } from '../../shared/process-identity.ts';
import type { OwnershipRecord } from './sandbox-record.ts';

/** The session that a sandbox belongs to, and the process that session lives in. */
export interface Owner {
  sessionId: string;
  process: ProcessIdentity;
}

/** This process never changes its identity, and every create asks for it. */
const THIS_PROCESS = currentProcess();

/** The owner that a session of this process is. */
export function ownerOf(sessionId: string): Owner {
  return { sessionId, process: THIS_PROCESS };
}

/** False for an owner whose process has ended, and for none: a session that ended gives up what it owned. */
export function isAlive(owner: Owner | null): owner is Owner {
  return owner !== null && isProcessAlive(owner.process);
}

/** True where the owner lives, in another process than this one. */
export function ownedByOtherProcess(owner: Owner | null): boolean {
  return isAlive(owner) && owner.process.pid !== THIS_PROCESS.pid;
}

/** True while a process lives that owns the sandbox, through its creator's session or by having taken it up. */
export function hasLivingOwner({ owner, coOwners = [] }: OwnershipRecord): boolean {
  return isAlive(owner) || coOwners.some(isProcessAlive);
}

/** True while another process than this one owns the sandbox too. */
export function hasLivingCoOwner({ coOwners = [] }: OwnershipRecord): boolean {
  return coOwners.some((process) => process.pid !== THIS_PROCESS.pid && isProcessAlive(process));
}

/** The record with this process among its owners. */
export function withCoOwner(record: OwnershipRecord): OwnershipRecord {
  if (isAlive(record.owner) && record.owner.process.pid === THIS_PROCESS.pid) return record;
  const others = (record.coOwners ?? []).filter(isProcessAlive);
  if (others.some(({ pid }) => pid === THIS_PROCESS.pid)) return record;
  return { ...record, coOwners: [...others, THIS_PROCESS] };
}
