/** Builds `config.json` (OCI runtime specification): the isolation of a sandbox. */
import { release } from 'node:os';
import { join } from 'node:path';
import { CA_DIR } from '../host/ca/ca-locations.ts';
import type { IdMap } from '../host/id-map.ts';
import { AGENT_NAME } from '../host/system-directories.ts';
import { PROTOCOL_VERSION } from '../protocol/frames.ts';
import type { SandboxPaths } from '../state/state-layout.ts';
import type { Mount } from '../storage/overlay-layers.ts';
import { seccompProfile } from './seccomp-profile.ts';

export interface ConfigRequest {
  paths: SandboxPaths;
  sandboxIds: IdMap;
  /** Host path of the agent's executable. */
  agent: string;
  /** Mounts of the writable top-level directories. */
  topMounts: Mount[];
  /** Mounts of named volumes. */
  volumeMounts: Mount[];
  deadlineMs: number;
  vcpus: number;
  memoryMb: number;
  /** Null: no cgroup at all. */
  cgroup: {
    path: string;
    memory: boolean;
    swap: boolean;
    cpu: boolean;
    pids: boolean;
    /** How to set the share of the processors: for cgroups v1 or v2; null: not at all. */
    share: 'shares' | 'weight' | null;
  } | null;
  maxProcesses: number;
  /** The host's hard limit of open files; a sandbox can lower but not raise it. */
  maxOpenFiles: number;
  arch: string;
  /** The path of its user namespace; null if the runtime makes it. */
  userns: string | null;
}

/** Capabilities the agent needs to serve users and sudo; it drops all of them for ordinary commands. */
const BOUNDING = [
  'CAP_CHOWN',
  'CAP_DAC_OVERRIDE',
  'CAP_FOWNER',
  'CAP_FSETID',
  'CAP_KILL',
  'CAP_NET_BIND_SERVICE',
  'CAP_SETFCAP',
  'CAP_SETGID',
  'CAP_SETPCAP',
  'CAP_SETUID',
  'CAP_SYS_CHROOT',
];
/**
 * Capabilities at the agent's start only: it sets up egress and drops CAP_NET_ADMIN before any command runs.
 */
const STARTING = [...BOUNDING, 'CAP_NET_ADMIN'];
const NAMESPACES = ['pid', 'ipc', 'uts', 'mount', 'network'];
const MASKED = [
  '/proc/acpi',
  '/proc/asound',
  '/proc/interrupts',
  '/proc/kcore',
  '/proc/key-users',
  '/proc/keys',
  '/proc/latency_stats',
  '/proc/sched_debug',
  '/proc/scsi',
  '/proc/timer_list',
  '/proc/timer_stats',
  '/sys/devices/virtual/powercap',
  '/sys/firmware',
];
const READ_ONLY = ['/proc/bus', '/proc/fs', '/proc/irq', '/proc/sys', '/proc/sysrq-trigger'];
const CPU_PERIOD_US = 100_000;
/** Half of what other cgroups have by default, where processors are short: the server answers first. */
const CPU_SHARES = 512;
const CPU_WEIGHT = 50;
/** Of one sandbox. All of the machine's share `kernel.pty.max`, 4,096 by default. */
const MAX_TERMINALS = 256;

function tmpfs(destination: string, mode: string, sizeMb: number, more: string[] = []): Mount {
  const options = ['nosuid', 'nodev', `mode=${mode}`, `size=${sizeMb}m`, ...more];
  return { destination, type: 'tmpfs', source: 'tmpfs', options };
}

/** The sandbox's own cgroup: Node, the JVM, Go and nproc read their limits there. */
function cgroupMount(options: string[]): Mount {
  return {
    destination: '/sys/fs/cgroup',
    type: 'cgroup',
    source: 'cgroup',
    options: [...options, 'relatime', 'ro'],
  };
}

function systemMounts({ memoryMb, cgroup }: ConfigRequest): Mount[] {
  const plain = ['nosuid', 'noexec', 'nodev'];
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: plain },
    {
      destination: '/dev',
      type: 'tmpfs',
      source: 'tmpfs',
      options: ['nosuid', 'noexec', 'strictatime', 'mode=755', 'size=64m'],
    },
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', `max=${MAX_TERMINALS}`],
    },
    // Half of the memory, as on an ordinary Linux machine: the usual container default of 64 MB breaks
    // browsers and databases.
    tmpfs('/dev/shm', '1777', Math.floor(memoryMb / 2), ['noexec']),
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: [...plain, 'ro'] },
    ...(cgroup === null ? [] : [cgroupMount(plain)]),
    tmpfs('/run', '755', 64),
    tmpfs('/run/lock', '1777', 5, ['noexec']),
  ];
}

function fileMounts(request: ConfigRequest): Mount[] {
  const agent = {
    destination: `/${AGENT_NAME}`,
    type: 'bind',
    source: request.agent,
    options: ['bind', 'ro', 'nosuid', 'nodev'],
  };
  const trust = {
    destination: CA_DIR,
    type: 'bind',
    source: request.paths.caTrust,
    options: ['bind', 'ro', 'nosuid', 'nodev', 'noexec'],
  };
  // A volume hides neither the agent nor the CA.
  return [...request.topMounts, ...request.volumeMounts, agent, trust];
}

function resources(
  request: ConfigRequest,
  cgroup: NonNullable<ConfigRequest['cgroup']>,
): Record<string, object> {
  const memory = request.memoryMb * 1024 * 1024;
  const share = cgroup.share === 'shares' ? { shares: CPU_SHARES } : {};
  return {
    // `swap` is memory plus swap: equal to the memory limit means no swap.
    ...(cgroup.memory ? { memory: cgroup.swap ? { limit: memory, swap: memory } : { limit: memory } } : {}),
    ...(cgroup.cpu ? { cpu: { ...share, quota: request.vcpus * CPU_PERIOD_US, period: CPU_PERIOD_US } } : {}),
    // Runtimes convert shares to weights in different ways.
    ...(cgroup.share === 'weight' ? { unified: { 'cpu.weight': String(CPU_WEIGHT) } } : {}),
    ...(cgroup.pids ? { pids: { limit: request.maxProcesses } } : {}),
  };
}

/** The whole `config.json`. */
export function ociConfig(request: ConfigRequest) {
  const { sandboxIds, cgroup } = request;
  const agentArguments = [
    ...['init', PROTOCOL_VERSION, request.deadlineMs, sandboxIds.uid, sandboxIds.gid],
    ...['egress', 'owner', `cpus=${Math.ceil(request.vcpus)}`],
  ].map(String);
  return {
    ociVersion: '1.0.2',
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: [`/${AGENT_NAME}`, ...agentArguments],
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'],
      cwd: '/',
      capabilities: { bounding: STARTING, effective: STARTING, permitted: STARTING },
      noNewPrivileges: true,
      rlimits: [{ type: 'RLIMIT_NOFILE', hard: request.maxOpenFiles, soft: request.maxOpenFiles }],
    },
    root: { path: join(request.paths.bundle, 'rootfs'), readonly: true },
    hostname: 'sandbox',
    mounts: [...systemMounts(request), ...fileMounts(request)],
    linux: {
      namespaces: [
        request.userns === null ? { type: 'user' } : { type: 'user', path: request.userns },
        ...[...NAMESPACES, ...(cgroup ? ['cgroup'] : [])].map((type) => ({ type })),
      ],
      uidMappings: sandboxIds.uidMappings,
      gidMappings: sandboxIds.gidMappings,
      ...(cgroup ? { cgroupsPath: cgroup.path, resources: resources(request, cgroup) } : {}),
      maskedPaths: MASKED,
      readonlyPaths: READ_ONLY,
      seccomp: seccompProfile(request.arch, release()),
    },
  };
}
