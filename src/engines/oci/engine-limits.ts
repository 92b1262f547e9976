import type { EngineLimits } from '../engine.ts';
import type { OciRuntime } from './container/oci-runtime.ts';
import type { OciContext } from './context.ts';
import type { Host } from './host/host.ts';
import { RUNTIME_MOUNT_LIMITATIONS } from './host/overlay-probe.ts';

export const MEMORY_MB_PER_VCPU = 2_048;
const DEFAULT_VCPUS = 2;

const USERS: Record<Host['idMap']['kind'], string> = {
  root: 'root with a uid range of its own',
  subordinate: 'rootless with subordinate ids',
  single: 'rootless with a single id (sudo changes nothing)',
};

/** An unprivileged process cannot set a directory quota, so the limit is monitored, not enforced. */
function diskSentence(diskMb: number | null): string {
  return diskMb === null
    ? 'Disk use is limited by the free space of the state directory alone.'
    : `Disk use is looked at each second while a server has the sandbox; one that takes more than ${diskMb} MiB is ended then.`;
}

/** The resources of a sandbox on this host, and the limits of the contract that it cannot enforce. */
export async function ociLimits(context: OciContext, signal: AbortSignal): Promise<EngineLimits> {
  const host = await context.host();
  const runtime: OciRuntime = await context.runtime(signal);
  const notEnforced: string[] = [];
  if (runtime.cgroups === 'none') {
    notEnforced.push(
      'Memory and CPU are not limited: no cgroup is delegated to this user.',
      'Processes are limited for each user of the sandbox by RLIMIT_NPROC, not for the sandbox as a whole.',
    );
  } else if (!host.swapLimit) {
    notEnforced.push('Swap is not limited: this kernel does not account it.');
  }
  if (host.mounts === 'by-runtime') notEnforced.push(...RUNTIME_MOUNT_LIMITATIONS);
  if (!runtime.egress) notEnforced.push('There is no network but loopback: nf_tables cannot be set up here.');
  notEnforced.push(diskSentence(context.diskMb));
  return {
    isolation: `${runtime.name} ${runtime.version}, ${USERS[host.idMap.kind]}, cgroups ${host.cgroupLayout}`,
    networkModes: runtime.egress ? ['allow-all', 'deny-all', 'custom'] : ['deny-all'],
    defaultNetworkPolicy: { mode: runtime.egress ? 'allow-all' : 'deny-all' },
    defaultVcpus: Math.min(DEFAULT_VCPUS, host.cpus),
    maxVcpus: host.cpus,
    memoryMbPerVcpu: MEMORY_MB_PER_VCPU,
    diskMb: context.diskMb,
    notEnforced,
  };
}
