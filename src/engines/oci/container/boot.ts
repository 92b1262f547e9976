/** From an empty directory to a sandbox whose agent answers; used by create and by the probe alike. */
import { chmod, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { SandboxError } from '../../../shared/errors.ts';
import { isProcessAlive, type ProcessIdentity } from '../../../shared/process-identity.ts';
import { makeTrust } from '../host/ca-trust.ts';
import {
  cgroupPath,
  cgroupsAreEmpty,
  enforcedLimits,
  findCgroups,
  killCgroup,
  removeCgroups,
  unifiedCgroup,
} from '../host/cgroups.ts';
import type { Host } from '../host/host.ts';
import type { AgentConnection } from '../protocol/agent-connection.ts';
import { FRAME, PROTOCOL_VERSION, TAG } from '../protocol/frames.ts';
import type { Ground, SandboxRecord } from '../state/sandbox-record.ts';
import type { SandboxPaths } from '../state/state-layout.ts';
import { baseOf } from '../storage/base-layers.ts';
import {
  bundleDirectories,
  launchMounts,
  layerLinks,
  type TopDirectory,
  topDirectories,
  topMount,
} from '../storage/overlay-layers.ts';
import { makeSandboxDirectories } from '../storage/rootfs.ts';
import { directoryMode } from './new-record.ts';
import { ociConfig } from './oci-config.ts';
import { type OciRuntime, startContainer } from './oci-runtime.ts';

/** Tasks a vcpu may have; the whole sandbox shares them. */
const PROCESSES_PER_VCPU = 512;

/** What a boot needs of the record. */
export type BootRequest = Pick<
  SandboxRecord,
  'sandboxId' | 'timeoutMs' | 'vcpus' | 'memoryMb' | 'etcTemplate' | 'image' | 'ground'
>;

export interface Booted {
  init: ProcessIdentity;
  /** Milliseconds that the agent says are left. */
  remainingMs: number;
  /** Whether connections out are handed to a gateway; without, the sandbox has no network. */
  egress: boolean;
  cgroups: string[];
  enforced: { memory: boolean; cpu: boolean; pids: boolean };
}

/** Process limit of a sandbox, by cgroup where the host allows it, else as RLIMIT_NPROC of each command. */
export function processLimit(vcpus: number): number {
  return Math.max(1, Math.ceil(vcpus)) * PROCESSES_PER_VCPU;
}

function cgroupOf(host: Host, runtime: OciRuntime, sandboxId: string) {
  if (runtime.cgroups === 'none') return null;
  const path = runtime.cgroups === 'systemd' ? `user.slice:sandbox-mcp:${sandboxId}` : cgroupPath(sandboxId);
  return { path, memory: true, swap: host.swapLimit, cpu: true, pids: true };
}

async function greet(connection: AgentConnection): Promise<{ remainingMs: number; egress: boolean }> {
  const answer = await connection.request(FRAME.PING);
  const protocol = answer.number(TAG.protocol);
  if (protocol !== PROTOCOL_VERSION) throw new Error(`the agent speaks protocol ${protocol}`);
  return { remainingMs: answer.number(TAG.remainingMs), egress: answer.number(TAG.egress) === 1 };
}

/** A sandbox's cgroups: where the engine put them, or where systemd has put its first process. */
async function cgroupsOf(host: Host, runtime: OciRuntime, sandboxId: string, pid: number): Promise<string[]> {
  if (runtime.cgroups === 'none') return [];
  if (runtime.cgroups === 'systemd') return unifiedCgroup(await readFile(`/proc/${pid}/cgroup`, 'utf8'));
  return findCgroups(host.cgroupLayout, cgroupPath(sandboxId));
}

/** What the layers need in the bundle, for whoever mounts them. */
async function fillBundle(
  host: Host,
  paths: SandboxPaths,
  tops: TopDirectory[],
  ground: Ground,
): Promise<void> {
  for (const name of bundleDirectories(host, tops)) {
    await mkdir(join(paths.bundle, name));
    // The sandbox's root passes on its way to a layer.
    await chmod(join(paths.bundle, name), directoryMode(host));
  }
  for (const { place, target } of layerLinks(host, ground)) await symlink(target, join(paths.bundle, place));
}

/** Boots a sandbox in `paths.dir`, which must exist and hold nothing but a record. A failure leaves pieces for `dismantle`. */
export async function boot(
  host: Host,
  runtime: OciRuntime,
  paths: SandboxPaths,
  request: BootRequest,
  signal: AbortSignal,
): Promise<Booted> {
  const base = await baseOf(host, request);
  await Promise.all([
    makeSandboxDirectories(paths, host.idMap, base, request.ground.owners),
    makeTrust(paths, request.sandboxId, host.trust),
  ]);
  const tops = topDirectories(base, request.ground);
  await fillBundle(host, paths, tops, request.ground);
  const config = ociConfig({
    paths,
    idMap: host.idMap,
    agent: host.agent,
    topMounts: tops.map((top) => topMount(host, paths, top)),
    deadlineMs: request.timeoutMs,
    vcpus: request.vcpus,
    memoryMb: request.memoryMb,
    cgroup: cgroupOf(host, runtime, request.sandboxId),
    maxProcesses: processLimit(request.vcpus),
    maxOpenFiles: host.maxOpenFiles,
    arch: host.arch,
  });
  const bundle = host.alterBundle === null ? config : host.alterBundle(config);
  await writeFile(join(paths.bundle, 'config.json'), JSON.stringify(bundle), { mode: 0o600 });
  const { init, connection } = await startContainer(
    runtime,
    { agent: host.agent, mounts: launchMounts(host, paths, tops) },
    paths,
    request.sandboxId,
    signal,
  );
  try {
    const greeting = await greet(connection);
    const cgroups = await cgroupsOf(host, runtime, request.sandboxId, init.pid);
    return { init, ...greeting, cgroups, enforced: enforcedLimits(cgroups) };
  } finally {
    connection.close();
  }
}

const KILL_TIMEOUT_MS = 5_000;

/**
 * Ends every process of a sandbox and waits until the kernel has let go of them. PID 1 takes all others of its
 * namespace along; the cgroups catch what an interrupted start left without one.
 */
async function endProcesses(init: ProcessIdentity | null, cgroups: string[]): Promise<void> {
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  for (let pause = 1; ; pause = Math.min(pause * 2, 20)) {
    const alive = init !== null && isProcessAlive(init);
    if (alive) process.kill(init.pid, 'SIGKILL');
    const empty = await cgroupsAreEmpty(cgroups);
    if (!alive && empty) return;
    if (!empty) for (const directory of cgroups) await killCgroup(directory);
    if (performance.now() > deadline) {
      throw new SandboxError('server', 'The sandbox did not end within 5 s of SIGKILL.', {
        hint: 'A process is stuck in the kernel; call sandbox_stop again later.',
      });
    }
    await delay(pause);
  }
}

/** Ends and removes all that a sandbox has besides its directory: processes and cgroups. */
export async function dismantle(host: Host, sandboxId: string, init: ProcessIdentity | null): Promise<void> {
  const deadline = performance.now() + KILL_TIMEOUT_MS;
  for (;;) {
    // Looked for anew each time: a runtime that was killed may have been making them until just now.
    const cgroups = await findCgroups(host.cgroupLayout, cgroupPath(sandboxId));
    await endProcesses(init, cgroups);
    const busy = await removeCgroups(cgroups);
    if (busy.length === 0) return;
    if (performance.now() > deadline) throw new Error(`cgroups stay busy: ${busy.join(', ')}`);
    await delay(2);
  }
}
