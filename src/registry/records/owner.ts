import { currentProcess, isProcessAlive, type ProcessIdentity } from '../../shared/process-identity.ts';
import { SESSIONS } from '../../shared/store/collections.ts';
import type { Store } from '../../shared/store/store.ts';
import type { OwnershipRecord } from './sandbox-record.ts';

/** The session that owns a sandbox, and the process in which the session ran when it created it. */
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

/** Which owners still live: a session that ended releases what it owned. */
export interface Owners {
  /** Whether any replica may serve an owner. */
  readonly isShared: boolean;
  isAlive(owner: Owner | null): Promise<boolean>;
  /** Whether the owner counts for itself, and not against the quotas of this server. */
  ownedByOtherProcess(owner: Owner | null): boolean;
  /** True while a living owner has the sandbox, as its creator or because it attached to it. */
  hasLivingOwner(record: OwnershipRecord): Promise<boolean>;
  /** True while somebody else owns the sandbox as well. */
  hasLivingCoOwner(record: OwnershipRecord): boolean;
  /** The record with this process added to its owners, if a process that attaches becomes one. */
  withCoOwner(record: OwnershipRecord): OwnershipRecord;
}

/** Owners are processes of this machine. */
export const PROCESS_OWNERS: Owners = {
  isShared: false,
  isAlive: async (owner) => isAlive(owner),
  ownedByOtherProcess: (owner) => isAlive(owner) && owner.process.pid !== THIS_PROCESS.pid,
  hasLivingOwner: async ({ owner, coOwners = [] }) => isAlive(owner) || coOwners.some(isProcessAlive),
  hasLivingCoOwner: ({ coOwners = [] }) =>
    coOwners.some((process) => process.pid !== THIS_PROCESS.pid && isProcessAlive(process)),
  withCoOwner(record) {
    if (isAlive(record.owner) && record.owner.process.pid === THIS_PROCESS.pid) return record;
    const others = (record.coOwners ?? []).filter(isProcessAlive);
    if (others.some(({ pid }) => pid === THIS_PROCESS.pid)) return record;
    return { ...record, coOwners: [...others, THIS_PROCESS] };
  },
};

/**
 * Owners are sessions that several replicas serve: one lives until it has ended, whether its replica lives or
 * not, since another one takes it over. The replicas together are like one process: whoever attaches to a
 * sandbox is not an owner.
 */
export function sessionOwners(store: Store): Owners {
  const isAliveThere = async (owner: Owner | null): Promise<boolean> =>
    owner !== null && (await store.read(SESSIONS, owner.sessionId)) !== null;
  return {
    isShared: true,
    isAlive: isAliveThere,
    ownedByOtherProcess: () => false,
    hasLivingOwner: ({ owner }) => isAliveThere(owner),
    hasLivingCoOwner: () => false,
    withCoOwner: (record) => record,
  };
}

/** False if the owner's process has ended or there is no owner. */
function isAlive(owner: Owner | null): owner is Owner {
  return owner !== null && isProcessAlive(owner.process);
}
