import type { Logger } from '../../../shared/log.ts';
import { isProcessAlive } from '../../../shared/process-identity.ts';
import { thaw } from '../host/cgroups.ts';
import { type SandboxRecord, updateRecord } from '../state/sandbox-record.ts';
import type { StateLayout } from '../state/state-layout.ts';

/** Whether the process that was to finish a transition has ended. */
export function isAbandoned(record: SandboxRecord): boolean {
  return record.worker === null || !isProcessAlive(record.worker);
}

function isCopyLeft(record: SandboxRecord): boolean {
  return record.status === 'running' && record.snapshot !== null && isAbandoned(record);
}

/**
 * A server that died while it copied a running sandbox may have left it frozen: the process that thaws it
 * then may have been killed, too. Where it cannot be thawed, the record stays as it is, so that the sandbox
 * can still be stopped and the next reader tries again.
 */
export async function continueCopied(
  layout: StateLayout,
  log: Logger,
  record: SandboxRecord,
): Promise<SandboxRecord> {
  if (!isCopyLeft(record)) return record;
  return updateRecord(layout, record.sandboxId, async (present) => {
    if (!isCopyLeft(present)) return null;
    try {
      await thaw(present.cgroups);
    } catch (error) {
      log.warn({ sandbox_id: present.sandboxId, err: error }, 'cannot thaw a sandbox');
      return null;
    }
    return { ...present, snapshot: null, worker: null };
  });
}
