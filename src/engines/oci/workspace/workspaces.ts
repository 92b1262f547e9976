import { isDeepStrictEqual } from 'node:util';
import { SandboxError } from '../../../shared/errors.ts';
import { isProcessAlive } from '../../../shared/process-identity.ts';
import type { WorkspaceApplied, WorkspaceChange, WorkspaceChanges, Workspaces } from '../../engine.ts';
import type { Host } from '../host/host.ts';
import { readRecord } from '../state/sandbox-record.ts';
import { applyChanges, withFolderLock } from './apply.ts';
import { compare } from './compare.ts';
import { hiddenRules } from './hidden-files.ts';
import { type OpenWorkspace, readEntry, withWorkspace } from './open-workspace.ts';

/** The workspaces of sandboxes on this machine. */
export class OciWorkspaces implements Workspaces {
  readonly #host: () => Promise<Host>;

  constructor(host: () => Promise<Host>) {
    this.#host = host;
  }

  changes(sandboxId: string, signal: AbortSignal): Promise<WorkspaceChanges> {
    return this.#with(sandboxId, (open, host) => compareRunning(sandboxId, open, host, signal));
  }

  read(sandboxId: string, path: string, side: 'before' | 'after', limit: number): Promise<Buffer | null> {
    return this.#with(sandboxId, async (open) => {
      if (hiddenRules(open.record.hidden).hides(path, false) && side === 'before') return null;
      return readEntry(side === 'before' ? open.folder : open.upper, path, limit);
    });
  }

  apply(
    sandboxId: string,
    agreed: readonly WorkspaceChange[],
    signal: AbortSignal,
  ): Promise<WorkspaceApplied> {
    return this.#with(sandboxId, (open, host) =>
      withFolderLock(host.layout, open, signal, async () => {
        const { changes } = await compareRunning(sandboxId, open, host, signal);
        const { wanted, changedAgain } = stillAgreed(changes, agreed);
        const result = await applyChanges(host.layout, sandboxId, open, wanted, signal);
        return { ...result, refused: [...result.refused, ...changedAgain] };
      }),
    );
  }

  async #with<Result>(
    sandboxId: string,
    work: (open: OpenWorkspace, host: Host) => Promise<Result>,
  ): Promise<Result> {
    const host = await this.#host();
    const record = await readRecord(host.layout, sandboxId);
    return withWorkspace(host, record, (open) => work(open, host));
  }
}

/** @throws `conflict` once the sandbox ends: what is removed from its layer would look like deletions */
async function compareRunning(
  sandboxId: string,
  open: OpenWorkspace,
  { agent, layout }: Host,
  signal: AbortSignal,
): Promise<WorkspaceChanges> {
  const found = await compare(open, agent, signal);
  const { status, init } = await readRecord(layout, sandboxId);
  if (status === 'running' && init !== null && isProcessAlive(init)) return found;
  throw new SandboxError('conflict', `Sandbox ${sandboxId} has ended; nothing was applied.`, {
    hint: 'Call sandbox_create.',
    details: { sandbox_id: sandboxId },
  });
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
