import { currentProcess, isProcessAlive, type ProcessIdentity } from '../../shared/process-identity.ts';

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
