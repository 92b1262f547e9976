/** What a snapshot that stops its sandbox means for a workspace and the changes in it. */
import type { Sandbox, Snapshots, WorkspaceChange } from '../../engines/engine.ts';
import { SandboxError } from '../../shared/errors.ts';
import { plural } from '../../shared/text/text.ts';
import type { RegistryContext } from '../context.ts';
import type { SnapshotWorkspace } from '../types.ts';

/**
 * Compares the workspace of a sandbox that is about to be stopped. Undefined without a workspace.
 *
 * @throws `conflict` if changes would be lost that can still be applied, and the caller can keep the sandbox
 *   running instead; what the comparison throws, in the same case
 */
export async function checkWorkspace(
  context: RegistryContext,
  snapshots: Snapshots,
  { sandboxId, workspace }: Sandbox,
  keepRunning: boolean,
  signal: AbortSignal,
): Promise<SnapshotWorkspace | undefined> {
  if (workspace == null) return undefined;
  const { provision, mode } = workspace;
  const isCopied = provision === 'upload';
  if (isCopied || keepRunning || mode !== 'copy-on-write') {
    return { isCopied, losesApply: isCopied && !keepRunning && mode === 'copy-on-write', lost: 0 };
  }
  const canCopy = (await snapshots.canCopy?.(sandboxId, signal)) ?? snapshots.copy !== undefined;
  const changes = await listChanges(context, sandboxId, canCopy, signal);
  const unapplied = changes?.filter(({ refused }) => refused === null).length ?? 0;
  if (canCopy && unapplied > 0) throw wouldLose(sandboxId, unapplied);
  return { isCopied, losesApply: true, lost: changes?.length ?? null };
}

/** Null if they cannot be compared and there is no other way to take the snapshot. */
async function listChanges(
  { engine, log }: RegistryContext,
  sandboxId: string,
  canCopy: boolean,
  signal: AbortSignal,
): Promise<readonly WorkspaceChange[] | null> {
  if (engine.workspaces === undefined) return null;
  try {
    return (await engine.workspaces.changes(sandboxId, signal)).changes;
  } catch (error) {
    if (!canCopy && !signal.aborted) {
      log.warn({ sandbox_id: sandboxId, err: error }, 'cannot compare the workspace of a snapshot');
      return null;
    }
    if (!(error instanceof SandboxError) || error.code === 'cancelled') throw error;
    throw new SandboxError(error.code, `Cannot tell which changes a snapshot would lose: ${error.message}`, {
      hint: `${error.hint} ${KEEP}`,
      details: error.details,
      cause: error,
    });
  }
}

const KEEP = 'keep_running: true takes the snapshot and leaves the sandbox as it is.';

function wouldLose(sandboxId: string, unapplied: number): SandboxError {
  const changes = plural(unapplied, 'unapplied workspace change');
  return new SandboxError(
    'conflict',
    `Sandbox ${sandboxId} has ${changes}, which a snapshot does not contain and stopping discards.`,
    {
      hint: `sandbox_apply_changes writes them to the folder. ${KEEP} sandbox_stop discards them.`,
      details: { sandbox_id: sandboxId, unapplied },
    },
  );
}
