import type { EngineLimits } from '../../engine.ts';

/** The platform's maximums; the team's plan may grant less, which the platform's refusal then reports. */
const MAX_VCPUS = 32;
const DEFAULT_VCPUS = 2;
const MEMORY_MB_PER_VCPU = 2_048;

export const VERCEL_LIMITS: EngineLimits = {
  isolation: "Firecracker microVM in Vercel's cloud",
  networkModes: ['allow-all', 'deny-all', 'custom'],
  defaultNetworkPolicy: { mode: 'allow-all' },
  defaultVcpus: DEFAULT_VCPUS,
  maxVcpus: MAX_VCPUS,
  memoryMbPerVcpu: MEMORY_MB_PER_VCPU,
  diskMb: null,
  notEnforced: [
    "The plan of the team may grant fewer vCPUs, less time and fewer sandboxes than the limits here; Vercel's refusal then says so.",
    'A command that ran out of memory is told as killed by SIGKILL: the platform does not tell why.',
    'Output that is no UTF-8 arrives with replacement characters; use sandbox_read_file or sandbox_download_file for bytes.',
    'A fork bomb may leave no process to kill it from; sandbox_stop ends it for sure.',
    'A process that has emptied its environment and left its parent outlives the kill of its command.',
    'There are no terminals for people (interactive) and no images to import; sandbox_shell works in every sandbox.',
    "Sources are fetched by Vercel's service: how it unpacks a tarball and what it says of a failure is its own.",
    'Which private addresses are closed is decided by Vercel; --egress-allow opens nothing there.',
    'What went out and what was refused by the network policy is not told.',
  ],
};
