import type { Sandbox, SandboxStatus, StopCause } from '../../engines/engine.ts';
import { SandboxError } from '../../shared/errors.ts';
import type { RegistryContext } from '../context.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';

const ENDED: readonly SandboxStatus[] = ['stopped', 'aborted', 'failed'];

const CAUSES: Record<StopCause, string> = {
  requested: 'it was stopped on request',
  session_end: 'the session that owned it ended',
  deadline: 'its timeout expired',
  snapshot: 'taking a snapshot stopped it',
  aborted: 'it was killed externally, or the host rebooted',
  out_of_memory: 'it ran out of memory',
};

const GO_ON = 'Call snapshot_list for its snapshot, and sandbox_create with it as source to continue.';
const RESUME = 'Call sandbox_get, which starts a named sandbox again with its files, or sandbox_create.';

/** True for a sandbox that will never run again. */
export function hasEnded(sandbox: Sandbox): boolean {
  return ENDED.includes(sandbox.status);
}

/**
 * Records that a sandbox has ended, unless that is recorded already. `sandbox` is null if the engine no
 * longer knows it. Returns the current record, or null if there is none.
 */
export async function markEnded(
  context: RegistryContext,
  sandboxId: string,
  sandbox: Sandbox | null,
): Promise<OwnershipRecord | null> {
  const now = context.clock.now();
  return context.store.update(sandboxId, (record) => {
    if (record.state === 'ended') return record;
    // A late reader must not lengthen the retention: a sandbox that is not resumed cannot have lived past its
    // deadline.
    const deadline = sandbox === null || record.persistent ? now : sandbox.createdAt + sandbox.timeoutMs;
    return { ...record, state: 'ended', endedAt: Math.min(now, deadline) };
  });
}

/**
 * Why this sandbox cannot be used now, and the next step.
 *
 * @param endedAt epoch ms, null if unknown
 * @param resumable whether it may have been created to be resumed
 */
export function notRunning(sandbox: Sandbox, endedAt: number | null, resumable: boolean): SandboxError {
  const details = { sandbox_id: sandbox.sandboxId, status: sandbox.status };
  if (!hasEnded(sandbox)) {
    return new SandboxError('conflict', `Sandbox ${sandbox.sandboxId} is ${sandbox.status}, not running.`, {
      hint: `Call sandbox_wait_for_status to wait until it is ${sandbox.status === 'pending' ? 'running' : 'stopped'}.`,
      details,
    });
  }
  const cause = sandbox.stopCause === null ? '' : `: ${CAUSES[sandbox.stopCause]}`;
  const time = endedAt === null ? '' : ` at ${new Date(endedAt).toISOString()}`;
  const reason = sandbox.statusReason === null ? '' : ` (${sandbox.statusReason})`;
  const snapshotted = sandbox.stopCause === 'snapshot';
  const next = resumable ? RESUME : snapshotted ? GO_ON : 'Call sandbox_create for a new one.';
  return new SandboxError(
    'conflict',
    `Sandbox ${sandbox.sandboxId} is ${sandbox.status}${cause}${time}${reason}.`,
    {
      hint: `${next} The output of its commands can still be read with command_logs.`,
      details: { ...details, stop_cause: sandbox.stopCause, ended_at: endedAt },
    },
  );
}
