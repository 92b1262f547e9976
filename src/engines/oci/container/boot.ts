/**
 * Boots a sandbox, from an empty directory to an agent that answers; used by create and by the runtime probe.
 */
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { traced } from '../../../shared/async/traced.ts';
import type { HostDirectory } from '../../../shared/fs/host-directory.ts';
import type { ProcessIdentity } from '../../../shared/process-identity.ts';
import { requireSameFolder } from '../../workspace/folder.ts';
import { writeCaTrust } from '../host/ca/ca-trust.ts';
import { cgroupPath, enforcedLimits, findCgroups, unifiedCgroup } from '../host/cgroups.ts';
import { directoryMode } from '../host/directory-mode.ts';
import type { Host } from '../host/host.ts';
import type { AgentConnection } from '../protocol/agent-connection.ts';
import { FRAME, PROTOCOL_VERSION, TAG } from '../protocol/frames.ts';
import type { BaseLayers, SandboxRecord, WorkspaceRecord } from '../state/sandbox-record.ts';
import type { SandboxPaths } from '../state/state-layout.ts';
import { findBase } from '../storage/base-layers.ts';
import { MappedDirectories } from '../storage/mapped-directories.ts';
import {
  bundleDirectories,
  launchMounts,
  layerLinks,
  type TopDirectory,
  topDirectories,
  topMount,
} from '../storage/overlay-layers.ts';
import { makeSandboxDirectories } from '../storage/rootfs.ts';
import { sandboxIds } from '../storage/sandbox-ids.ts';
import { makeMountPoints, volumeMounts } from '../storage/volume-mounts.ts';
import { findHidden, prepareWorkspace } from '../workspace/mount.ts';
import { ociConfig } from './oci-config.ts';
import { type OciRuntime, startContainer } from './oci-runtime.ts';
import { prepareUserNamespace } from './user-namespace.ts';

/** Tasks allowed per vcpu, shared by the whole sandbox. */
const PROCESSES_PER_VCPU = 512;

/** The fields of the record that a boot needs. */
export type BootRequest = Pick<
  SandboxRecord,
  | 'sandboxId'
  | 'timeoutMs'
  | 'vcpus'
  | 'memoryMb'
  | 'etcTemplate'
  | 'image'
  | 'baseLayers'
  | 'workspace'
  | 'volumes'
  | 'idBase'
>;

export interface Booted {
  init: ProcessIdentity;
  /** While it is open, this process owns the sandbox, which ends with its last owner. */
  owner: Socket;
  /** Time until the deadline as the agent reports it, in milliseconds. */
  remainingMs: number;
  /** Whether outbound connections reach a gateway; if not, the sandbox has no network. */
  egress: boolean;
  cgroups: string[];
  enforced: { memory: boolean; cpu: boolean; pids: boolean };
  workspace: WorkspaceRecord | null;
}

/** Process limit of a sandbox: by cgroup where the host allows it, else as RLIMIT_NPROC of each command. */
export function processLimit(vcpus: number): number {
  return Math.max(1, Math.ceil(vcpus)) * PROCESSES_PER_VCPU;
}

function cgroupRequest(host: Host, runtime: OciRuntime, sandboxId: string) {
  if (runtime.cgroups === 'none') return null;
  const path = runtime.cgroups === 'systemd' ? `user.slice:sandbox-mcp:${sandboxId}` : cgroupPath(sandboxId);
  // A delegated scope keeps the share that systemd gives it.
  const share = runtime.cgroups === 'systemd' ? null : host.cgroupLayout === 'v2' ? 'weight' : 'shares';
  return { path, memory: true, swap: host.swapLimit, cpu: true, pids: true, share } as const;
}

async function handshake(connection: AgentConnection): Promise<{ remainingMs: number; egress: boolean }> {
  const answer = await connection.request(FRAME.PING);
  const protocol = answer.number(TAG.protocol);
  if (protocol !== PROTOCOL_VERSION) throw new Error(`the agent speaks protocol ${protocol}`);
  return { remainingMs: answer.number(TAG.remainingMs), egress: answer.number(TAG.egress) === 1 };
}

/** The sandbox's cgroups: where the engine placed them, or where systemd placed the first process. */
async function sandboxCgroups(
  host: Host,
  runtime: OciRuntime,
  sandboxId: string,
  pid: number,
): Promise<string[]> {
  if (runtime.cgroups === 'none') return [];
  if (runtime.cgroups === 'systemd') return unifiedCgroup(await readFile(`/proc/${pid}/cgroup`, 'utf8'));
  return findCgroups(host.cgroupLayout, cgroupPath(sandboxId));
}

/** Creates the mount points and links that the layers need in the bundle. */
async function prepareBundle(
  host: Host,
  paths: SandboxPaths,
  mapped: MappedDirectories,
  tops: TopDirectory[],
  baseLayers: BaseLayers,
): Promise<void> {
  for (const name of [...bundleDirectories(host, tops), ...mapped.places()]) {
    await mkdir(join(paths.bundle, name));
    // The sandbox's root traverses it to reach a layer.
    await chmod(join(paths.bundle, name), directoryMode(host));
  }
  for (const { place, target } of layerLinks(host, mapped, baseLayers))
    await symlink(target, join(paths.bundle, place));
}

/**
 * Boots a sandbox in `paths.dir`, which must hold nothing but a record. After a failure the caller cleans up.
 */
export async function boot(
  host: Host,
  runtime: OciRuntime,
  paths: SandboxPaths,
  request: BootRequest,
  signal: AbortSignal,
  folder: HostDirectory | null = null,
): Promise<Booted> {
  const base = await findBase(host, request);
  const ids = { disk: host.diskIds, sandbox: sandboxIds(host, request) };
  const mapped = new MappedDirectories(host, paths, request);
  // Walking a large folder takes as long as the other preparations.
  const hiding =
    request.workspace === null || folder === null
      ? null
      : findHidden(host, request.workspace, folder, signal);
  // It is awaited once the directories are there, which may fail first.
  hiding?.catch(() => {});
  const ofImage = request.image === null ? '' : await host.images.caCertificates(request.image);
  await Promise.all([
    traced('engine', 'directories', () =>
      makeSandboxDirectories(paths, ids, base, request.baseLayers.owners),
    ),
    traced('engine', 'certificate authority', () =>
      writeCaTrust(paths, request.sandboxId, host.caBundle, ofImage),
    ),
  ]);
  const tops = topDirectories(base, request.baseLayers);
  await prepareBundle(host, paths, mapped, tops, request.baseLayers);
  const workspace =
    request.workspace === null || folder === null || hiding === null
      ? null
      : await prepareWorkspace(
          host,
          { paths, mapped, sandboxIds: ids.sandbox },
          { workspace: request.workspace, folder, hiding },
          signal,
        );
  await makeMountPoints(join(paths.bundle, 'rootfs'), base, request.volumes);
  const namespace = await prepareUserNamespace(ids.sandbox, runtime.name, paths, request.sandboxId);
  const config = ociConfig({
    userns: namespace.path,
    paths,
    sandboxIds: ids.sandbox,
    agent: host.agent,
    topMounts: [
      ...tops.map((top) => topMount(host, paths, mapped, top)),
      ...(workspace === null ? [] : [workspace.mount]),
    ],
    volumeMounts: volumeMounts(host.layout, mapped, request.volumes),
    deadlineMs: request.timeoutMs,
    vcpus: request.vcpus,
    memoryMb: request.memoryMb,
    cgroup: cgroupRequest(host, runtime, request.sandboxId),
    maxProcesses: processLimit(request.vcpus),
    maxOpenFiles: host.maxOpenFiles,
    arch: host.arch,
  });
  const bundle = host.alterBundle === null ? config : host.alterBundle(config);
  await writeFile(join(paths.bundle, 'config.json'), JSON.stringify(bundle), { mode: 0o600 });
  const { init, connection, owner } = await startContainer(
    runtime,
    {
      agent: host.agent,
      mounts: [
        ...namespace.options,
        ...launchMounts(host, paths, mapped, tops),
        ...(workspace === null ? [] : workspace.options),
      ],
      workspaceFd: workspace === null || workspace.isByPath ? null : (folder?.fd ?? null),
    },
    paths,
    request.sandboxId,
    signal,
  );
  try {
    if (workspace?.isByPath) await requireSameFolder(workspace.record);
    const greeting = await traced('agent', 'handshake', () => handshake(connection));
    const cgroups = await sandboxCgroups(host, runtime, request.sandboxId, init.pid);
    return {
      init,
      owner,
      ...greeting,
      cgroups,
      enforced: enforcedLimits(cgroups),
      workspace: workspace === null ? null : workspace.record,
    };
  } catch (error) {
    owner.destroy();
    throw error;
  } finally {
    connection.close();
  }
}
