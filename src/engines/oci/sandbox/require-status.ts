import { SandboxError } from '../../../shared/errors.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';

/** `running` for everybody; `pending` for whoever is filling a sandbox that nobody else may work in yet. */
export type AllowedStatus = 'running' | 'pending';

/** @throws `conflict` unless the sandbox has the status that work needs; `problem` says what that means */
export function requireStatus(sandbox: SandboxRecord, works: AllowedStatus, problem: string): void {
  const { sandboxId, status } = sandbox;
  if (status === works) return;
  throw new SandboxError('conflict', `Sandbox ${sandboxId} is ${status}; ${problem}.`, {
    hint:
      status === 'pending'
        ? `Call sandbox_wait_for_status with sandbox_id ${sandboxId} and status running.`
        : 'Call sandbox_create for a new one; logs and exit codes of this one stay readable.',
  });
}
