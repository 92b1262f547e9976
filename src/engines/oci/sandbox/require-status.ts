import { SandboxError } from '../../../shared/errors.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';

/** `running` for callers; `pending` for the code that populates a new sandbox. */
export type AllowedStatus = 'running' | 'pending';

/** @throws `conflict` unless the sandbox has the required status; `problem` names the consequence */
export function requireStatus(sandbox: SandboxRecord, allowedStatus: AllowedStatus, problem: string): void {
  const { sandboxId, status } = sandbox;
  if (status === allowedStatus) return;
  throw new SandboxError('conflict', `Sandbox ${sandboxId} is ${status}; ${problem}.`, {
    hint:
      status === 'pending'
        ? `Call sandbox_wait_for_status with sandbox_id ${sandboxId} and status running.`
        : 'Call sandbox_create for a new one; logs and exit codes of this one remain available.',
    details: { sandbox_id: sandboxId, status },
  });
}
