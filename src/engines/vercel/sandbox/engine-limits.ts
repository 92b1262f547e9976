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
    'The plan of the team may allow fewer vCPUs, shorter lifetimes and fewer sandboxes than the limits here; Vercel then refuses the request and says why.',
    'A command that ran out of memory is reported as killed by SIGKILL: the platform does not report why.',
    'Output that is not UTF-8 contains replacement characters; use sandbox_read_file or sandbox_download_file for exact bytes.',
    'A fork bomb may use up all processes, so that command_kill fails; sandbox_stop always ends it.',
    'A process that has cleared its environment and left its parent survives command_kill.',
    'Terminals for people (interactive) and image import are not supported; sandbox_shell works in every sandbox.',
    "Sources are fetched by Vercel's service, which determines how tarballs are unpacked and how failures are reported.",
    'Vercel decides which private addresses are blocked; --egress-allow has no effect.',
    'Allowed and refused connections are not reported.',
  ],
};
