import type { Workspaces } from '../../engine.ts';
import { workspaceCalls } from '../../workspace/workspace-calls.ts';
import type { Host } from '../host/host.ts';
import { readRecord } from '../state/sandbox-record.ts';
import { withWorkspace } from './open-workspace.ts';

/** The workspaces that sandboxes on this machine have mounted. */
export function mountedWorkspaces(getHost: () => Promise<Host>): Workspaces {
  return workspaceCalls(async (sandboxId, _signal, work) => {
    const host = await getHost();
    return withWorkspace(host, await readRecord(host.layout, sandboxId), work);
  });
}
