/** Cleanup after a sandbox that has ended or was never finished. */

import type { ProcessIdentity } from '../../../shared/process-identity.ts';
import { cgroupPath, findCgroups } from '../host/cgroups.ts';
import type { Host } from '../host/host.ts';
import { removeTrees } from '../host/remove-tree.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';
import { removeAgentFiles } from './agent-files.ts';
import { removeEgressSockets } from './egress-sockets.ts';
import { killAndRemoveCgroups } from './kill-processes.ts';
import { findOrphanedInit, shutDownOrphanedAgent, untilLaunchEnded } from './orphaned-agent.ts';

/** Kills every process of a sandbox and removes its cgroups. `known` is null if no record names the agent. */
export async function killSandboxProcesses(
  host: Host,
  sandboxId: string,
  known: ProcessIdentity | null,
): Promise<void> {
  const paths = host.layout.sandbox(sandboxId);
  if (known === null) await untilLaunchEnded(paths);
  const init = known ?? (await findOrphanedInit(paths, sandboxId));
  const cgroups = await findCgroups(host.cgroupLayout, cgroupPath(sandboxId));
  await killAndRemoveCgroups(host, sandboxId, init);
  // No file and no cgroup leads to the processes of an interrupted start: ask its agent to shut down.
  if (init === null && cgroups.length === 0) await shutDownOrphanedAgent(paths);
}

/** Removes everything of an ended sandbox except its record, its command records and their logs. */
export async function cleanUpSandbox(host: Host, record: SandboxRecord): Promise<void> {
  const paths = host.layout.sandbox(record.sandboxId);
  await killSandboxProcesses(host, record.sandboxId, record.init);
  const left = [paths.layers, paths.bundle, paths.runtime, paths.caTrust, paths.ca];
  await removeTrees(host.agent, host.diskIds, left);
  await Promise.all([removeAgentFiles(paths), removeEgressSockets(paths)]);
}

/** Removes a sandbox completely, including its record, which may be missing or unreadable. */
export async function removeSandbox(host: Host, sandboxId: string): Promise<void> {
  await killSandboxProcesses(host, sandboxId, null);
  await removeTrees(host.agent, host.diskIds, [host.layout.sandbox(sandboxId).dir]);
}
