import { SandboxError } from '../../shared/errors.ts';
import type { SandboxStatus } from '../engine.ts';
import type { WorkspaceFolder } from './open-workspace.ts';

/**
 * The workspace of a sandbox whose changes can be read.
 *
 * @param whenEnded how to get at what an ended sandbox had changed
 * @throws `conflict` without a workspace, for one that keeps no changes, and unless the sandbox runs
 */
export function requireKeepsChanges<Folder extends WorkspaceFolder>(
  sandboxId: string,
  status: SandboxStatus,
  workspace: Folder | null,
  whenEnded?: string,
): Folder {
  const refuse = (message: string, hint: string) =>
    new SandboxError('conflict', message, { hint, details: { sandbox_id: sandboxId } });
  if (workspace === null) {
    throw refuse(`Sandbox ${sandboxId} has no workspace.`, 'Call sandbox_create with workspace.');
  }
  if (workspace.mode !== 'copy-on-write') {
    throw refuse(`The workspace is ${workspace.mode}: it keeps no changes.`, 'Nothing needs to be applied.');
  }
  if (status === 'running') return workspace;
  if (status === 'pending') {
    throw refuse(`Sandbox ${sandboxId} is pending.`, 'Call sandbox_wait_for_status with status running.');
  }
  if (whenEnded !== undefined) throw refuse(`Sandbox ${sandboxId} is ${status}.`, whenEnded);
  throw refuse(`Sandbox ${sandboxId} is ${status}; its changes are gone.`, 'Call sandbox_create.');
}
