import type { EngineLimits } from '../engine.ts';
import type { OciRuntime } from './container/oci-runtime.ts';
import type { OciContext } from './context.ts';
import type { Host } from './host/host.ts';
import { RUNTIME_MOUNT_LIMITATIONS, SHARED_IDS } from './host/probe/overlay-probe.ts';
import { separatesIds } from './storage/sandbox-ids.ts';

export const MEMORY_MB_PER_VCPU = 2_048;
const DEFAULT_VCPUS = 2;

const USERS: Record<Host['diskIds']['kind'], string> = {
  root: 'root with a uid range for each sandbox',
  subordinate: 'rootless with subordinate ids',
  single: 'rootless with a single id (sudo changes nothing)',
};

function usersOf(host: Host): string {
  const { kind } = host.diskIds;
  return kind === 'root' && !separatesIds(host) ? 'root with one uid range for all sandboxes' : USERS[kind];
}

/** Few file systems let a process limit a directory, so the limit is monitored, not enforced. */
function diskSentence(diskMb: number | null): string {
  return diskMb === null
    ? 'Disk use is limited only by the free space of the state directory.'
    : `Disk use is checked every second while a server has the sandbox; one that takes more than ${diskMb} MiB is ended. Deleted files that a program still has open count, except those in the queue of a socket.`;
}

/** Limits that the cgroups of this host do not enforce. */
function cgroupSentences(host: Host, runtime: OciRuntime): string[] {
  if (runtime.cgroups === 'none') {
    return [
      'Memory and CPU are not limited: no cgroup is delegated to this user.',
      'Processes are limited for each user of the sandbox by RLIMIT_NPROC, not for the sandbox as a whole.',
    ];
  }
  // They have a limit of their own there, which runtimes no longer set.
  const buffers =
    host.cgroupLayout === 'v2' ? [] : ['Buffers of TCP connections do not count as used: cgroups v1.'];
  return host.swapLimit ? buffers : ['Swap is not limited: this kernel does not account it.', ...buffers];
}

/** The kernel's limits by user (/proc/sys/user), if they could not be lowered for the users of sandboxes. */
const SHARED_USER_LIMITS =
  'What programs hold of inotify and fanotify counts as that of the server’s user: this host does not let the server set /proc/sys/user.';

/** The resources of a sandbox on this host, and the limits of the contract that it cannot enforce. */
export async function ociLimits(context: OciContext, signal: AbortSignal): Promise<EngineLimits> {
  const host = await context.host();
  const runtime: OciRuntime = await context.runtime(signal);
  const notEnforced = cgroupSentences(host, runtime);
  if (host.mounts === 'by-runtime') notEnforced.push(...RUNTIME_MOUNT_LIMITATIONS);
  if (host.diskIds.kind === 'root' && !separatesIds(host)) notEnforced.push(SHARED_IDS);
  if (!runtime.egress) notEnforced.push('There is no network but loopback: nf_tables cannot be set up here.');
  if (!runtime.userLimits) notEnforced.push(SHARED_USER_LIMITS);
  notEnforced.push(diskSentence(context.diskMb));
  return {
    isolation: `${runtime.name} ${runtime.version}, ${usersOf(host)}, cgroups ${host.cgroupLayout}`,
    networkModes: runtime.egress ? ['allow-all', 'deny-all', 'custom'] : ['deny-all'],
    defaultNetworkPolicy: { mode: runtime.egress ? 'allow-all' : 'deny-all' },
    defaultVcpus: Math.min(DEFAULT_VCPUS, host.cpus),
    maxVcpus: host.cpus,
    memoryMbPerVcpu: MEMORY_MB_PER_VCPU,
    diskMb: context.diskMb,
    notEnforced,
  };
}
