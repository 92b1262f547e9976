import { isDeepStrictEqual } from 'node:util';
import type { WorkspaceApplied, WorkspaceChange, WorkspaceChanges, Workspaces } from '../engine.ts';
import { applyChanges, withFolderLock } from './apply.ts';
import { compare } from './compare.ts';
import { hiddenRules } from './hidden-files.ts';
import type { OpenWorkspace } from './open-workspace.ts';

/** Opens the workspace of a sandbox for the time of `work`. */
export type WithWorkspace = <Result>(
  sandboxId: string,
  signal: AbortSignal,
  work: (open: OpenWorkspace) => Promise<Result>,
) => Promise<Result>;

/** The calls of the contract on workspaces that `withWorkspace` opens. */
export function workspaceCalls(withWorkspace: WithWorkspace): Workspaces {
  return {
    changes: (sandboxId, signal) => withWorkspace(sandboxId, signal, (open) => compareRunning(open, signal)),

    read: (sandboxId, path, side, limit, signal) =>
      withWorkspace(sandboxId, signal, async (open) => {
        if (side === 'after') return open.sandbox.read(path, limit, signal);
        return hiddenRules(open.record.hidden).hides(path, false) ? null : open.folder.read(path, limit);
      }),

    finishApply: (sandboxId, signal) =>
      withWorkspace(sandboxId, signal, (open) => withFolderLock(open, signal, async () => {})),

    apply: (sandboxId, agreed, signal) =>
      withWorkspace(sandboxId, signal, (open) =>
        withFolderLock(open, signal, () => applyAgreed(open, agreed, signal)),
      ),
  };
}

async function compareRunning(open: OpenWorkspace, signal: AbortSignal): Promise<WorkspaceChanges> {
  const found = await compare(open, signal);
  await open.requireAlive(signal);
  return found;
}

async function applyAgreed(
  open: OpenWorkspace,
  agreed: readonly WorkspaceChange[],
  signal: AbortSignal,
): Promise<WorkspaceApplied> {
  const { changes } = await compareRunning(open, signal);
  const { wanted, changedAgain } = stillAgreed(changes, agreed);
  const result = await applyChanges(open, wanted, signal);
  return { ...result, refused: [...result.refused, ...changedAgain] };
}

/** The changes of now that were agreed to as they are, and the others that were agreed to, refused. */
function stillAgreed(
  changes: readonly WorkspaceChange[],
  agreed: readonly WorkspaceChange[],
): { wanted: WorkspaceChange[]; changedAgain: WorkspaceChange[] } {
  const now = new Map(changes.map((change) => [change.path, change]));
  const wanted: WorkspaceChange[] = [];
  const changedAgain: WorkspaceChange[] = [];
  for (const before of agreed) {
    const change = now.get(before.path);
    if (change !== undefined && isSameChange(change, before)) wanted.push(change);
    else changedAgain.push({ ...before, refused: 'it changed again after it was listed' });
  }
  return { wanted, changedAgain };
}

/** Whether both do the same to the folder. Whether its files are as the sandbox saw them is checked for each. */
function isSameChange(one: WorkspaceChange, other: WorkspaceChange): boolean {
  return one.status === other.status && one.from === other.from && isDeepStrictEqual(one.after, other.after);
}
