import type { WorkspaceApplied, WorkspaceChanges, Workspaces } from '../../engine.ts';
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
    return this.#with(sandboxId, (open, { agent }) => compare(open, agent, signal));
  }

  read(sandboxId: string, path: string, side: 'before' | 'after', limit: number): Promise<Buffer | null> {
    return this.#with(sandboxId, async (open) => {
      if (hiddenRules(open.record.hidden).hides(path, false) && side === 'before') return null;
      return readEntry(side === 'before' ? open.folder : open.upper, path, limit);
    });
  }

  apply(sandboxId: string, paths: string[] | null, signal: AbortSignal): Promise<WorkspaceApplied> {
    return this.#with(sandboxId, (open, { agent, layout }) =>
      withFolderLock(layout, open, signal, async () => {
        const { changes } = await compare(open, agent, signal);
        const isWanted = pathFilter(paths);
        const wanted = changes.filter(({ path }) => isWanted(path));
        return applyChanges(layout, sandboxId, open, wanted, signal);
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

/** @param wanted files or folders; null for everything */
function pathFilter(wanted: string[] | null): (path: string) => boolean {
  if (wanted === null) return () => true;
  const places = new Set(wanted.map((each) => each.replace(/^\.?\//, '').replace(/\/$/, '')));
  if (places.has('') || places.has('.')) return () => true;
  return (path) => {
    for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1))
      if (places.has(path.slice(0, end))) return true;
    return false;
  };
}
