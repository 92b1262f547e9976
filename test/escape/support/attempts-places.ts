/** Attempts on files, devices, processes and limits. */
import { type Attempt, HOST_DEVICES, type Targets } from './attempt.ts';
import type { Layer } from './isolation-layers.ts';

const readable = (
  path: string,
  without: readonly Layer[],
  refused = 'EMPTY',
  name = 'read_file',
): Attempt => ({
  name,
  argument: path,
  sudo: true,
  refused,
  control: { without, says: 'OK' },
});

/** Files in /proc and /sys that reveal too much, or would change the host. */
const KERNEL_FILES: readonly Attempt[] = [
  readable('/proc/kcore', ['masked paths', 'user namespace', 'capabilities']),
  readable('/proc/timer_list', ['masked paths', 'user namespace']),
  readable('/proc/interrupts', ['masked paths']),
  readable('/proc/key-users', ['masked paths', 'user namespace']),
  readable('/sys/firmware', ['masked paths'], 'EMPTY', 'list'),
  // Refused twice: the files belong to the host's root, and their mount is read-only.
  ...[
    '/proc/sysrq-trigger',
    '/proc/sys/kernel/core_pattern',
    '/proc/sys/kernel/modprobe',
    '/proc/sys/vm/drop_caches',
    '/proc/irq/default_smp_affinity',
  ].map((path) => readable(path, ['read-only paths', 'user namespace'], 'EACCES', 'open_write')),
  readable('/proc/sys/net/ipv4/ip_forward', ['read-only paths', 'capabilities'], 'EACCES', 'open_write'),
  readable('/sys/power/state', ['mount options', 'user namespace'], 'EACCES', 'open_write'),
  readable(
    '/sys/kernel/mm/transparent_hugepage/enabled',
    ['mount options', 'user namespace'],
    'EACCES',
    'open_write',
  ),
  readable(
    '/sys/module/kernel/parameters/panic',
    ['mount options', 'user namespace'],
    'EACCES',
    'open_write',
  ),
  // The sandbox's own limits; cgroups of version 1 and 2.
  ...[
    '/sys/fs/cgroup/memory/memory.limit_in_bytes',
    '/sys/fs/cgroup/memory.max',
    '/sys/fs/cgroup/cgroup.procs',
  ].map((path) => readable(path, ['mount options', 'user namespace'], 'EACCES', 'open_write')),
];

const device = (path: string, says = 'OK', orAbsent: string[] = []): Attempt => ({
  name: 'open_read',
  argument: path,
  sudo: true,
  refused: 'ENOENT',
  control: { without: ['devices', 'user namespace', 'capabilities'], says },
  orAbsent,
});
const making = (name: string, refused: string, without: readonly Layer[]): Attempt => ({
  name,
  argument: '/vercel/sandbox/made',
  sudo: true,
  refused,
  control: { without, says: 'OK' },
});

const DEVICES: readonly Attempt[] = [
  // A machine may lack some: what is missing on the host is missing in the control, too.
  ...HOST_DEVICES.map((path) => device(path, 'OK', ['ENOENT', 'ENXIO', 'ENODEV'])),
  making('mknod_device', 'EPERM', ['capabilities', 'user namespace', 'devices']),
  making('open_device', 'EPERM', ['capabilities', 'user namespace', 'devices', 'mount options']),
  // ENXIO: a kernel without this device.
  {
    ...making('open_memory', 'EPERM', ['capabilities', 'user namespace', 'devices', 'mount options']),
    orAbsent: ['ENXIO'],
  },
];

const ROOT_ONLY: readonly Attempt[] = [
  {
    name: 'create',
    argument: '/planted',
    sudo: true,
    refused: 'EROFS',
    control: { without: ['mount options', 'user namespace'], says: 'OK' },
  },
  {
    name: 'open_write',
    argument: '/.agent',
    sudo: true,
    refused: 'EACCES',
    control: { none: 'without this layer the test could write to the program that every other sandbox runs' },
  },
  {
    name: 'setuid_unmapped',
    sudo: true,
    refused: 'EINVAL',
    control: { without: ['user namespace'], says: 'OK' },
  },
  {
    name: 'more_capabilities',
    refused: 'EPERM',
    control: { without: ['capabilities'], says: 'OK' },
    sudo: true,
  },
  {
    name: 'more_files',
    sudo: true,
    refused: 'EPERM',
    control: { without: ['user namespace', 'capabilities'], says: 'OK' },
    orAbsent: ['EPERM'],
  },
  {
    name: 'realtime',
    sudo: true,
    refused: 'EPERM',
    control: { without: ['user namespace', 'capabilities'], says: 'OK' },
    // A new cgroup of version 1 has no real-time budget.
    orAbsent: ['EPERM'],
  },
  {
    name: 'priority',
    sudo: true,
    refused: 'EACCES',
    control: { without: ['user namespace', 'capabilities'], says: 'OK' },
  },
  {
    name: 'oom_score',
    sudo: true,
    refused: 'EACCES',
    control: { without: ['user namespace', 'capabilities'], says: 'OK' },
    orAbsent: ['EACCES'],
  },
  { name: 'packet_filter', sudo: true, refused: 'EPERM', control: { without: ['capabilities'], says: 'OK' } },
];

const shown = (name: string, argument: (targets: Targets) => string, refused = 'ENOENT'): Attempt => ({
  name,
  argument,
  sudo: true,
  refused,
  control: { without: ['mount namespace', 'user namespace'], says: 'OK' },
});

/** Files, processes and sockets of the host, of the server and of other sandboxes. */
const OTHERS: readonly Attempt[] = [
  shown('read_file', ({ hostFile }) => hostFile),
  shown('read_file', ({ hostShared }) => hostShared),
  shown('read_file', ({ neighbourFile }) => neighbourFile),
  shown('list', ({ stateDir }) => stateDir),
  shown('host_socket', ({ hostSocket }) => hostSocket),
  {
    name: 'abstract_socket',
    argument: ({ abstractName }) => abstractName,
    refused: 'ECONNREFUSED',
    control: { without: ['network namespace'], says: 'OK' },
  },
  {
    name: 'host_loopback',
    argument: ({ port }) => String(port),
    refused: 'ECONNREFUSED',
    control: { without: ['network namespace'], says: 'OK' },
  },
  {
    name: 'search_network',
    argument: ({ abstractName }) => abstractName,
    refused: 'NOT_FOUND',
    control: { without: ['network namespace'], says: 'FOUND' },
  },
  {
    name: 'shared_memory',
    argument: ({ sharedMemoryKey }) => String(sharedMemoryKey),
    refused: 'ENOENT',
    control: { without: ['ipc namespace'], says: 'OK' },
  },
  {
    name: 'host_name',
    argument: ({ hostName }) => hostName,
    refused: 'OTHER',
    control: { without: ['uts namespace'], says: 'SAME' },
  },
  ...outside('signal', ({ serverPid }) => String(serverPid), 'ESRCH', 'OK'),
  ...outside('trace', ({ serverPid }) => String(serverPid), 'ESRCH', 'OK'),
  ...outside('search_environments', ({ secret }) => secret, 'NOT_FOUND', 'FOUND'),
  ...outside('search_command_lines', ({ neighbourWord }) => neighbourWord, 'NOT_FOUND', 'FOUND'),
  ...outside('read_file', ({ serverPid }) => `/proc/${serverPid}/environ`, 'ENOENT', 'OK'),
  ...outside('through', ({ serverPid }) => `/proc/${serverPid}/root/etc`, 'ENOENT', 'OK'),
  ...outside('inherited', () => '', 'NONE', 'SOME', 'the descriptor is passed to it there'),
];

function outside(
  name: string,
  argument: (targets: Targets) => string,
  refused: string,
  says: string,
  onHost = 'the agent refuses to start without a pid namespace of its own',
): Attempt[] {
  return [{ name, argument, sudo: true, refused, control: { onHost, says } }];
}

/** PID 1 and its descriptors; the working directory of another user's process is protected the same way. */
const AGENT: readonly Attempt[] = [
  ...['/proc/1/environ', '/proc/1/maps'].map((path) => agent('read_file', path)),
  ...['/proc/1/root/etc', '/proc/1/cwd/.', '/proc/1/fd/3/.', '/proc/1/exe'].map((path) =>
    agent('through', path),
  ),
  { ...agent('open_write', '/proc/1/mem'), refused: 'EACCES' },
  {
    name: 'trace',
    argument: '1',
    sudo: true,
    refused: 'EPERM',
    control: { without: ['hidden agent'], says: 'OK' },
  },
];

function agent(name: string, argument: string): Attempt {
  return {
    name,
    argument,
    sudo: true,
    refused: 'EACCES',
    control: { without: ['hidden agent'], says: 'OK' },
  };
}

/** Resource exhaustion. */
const LIMITS: readonly Attempt[] = [
  { name: 'forks', argument: '600', refused: 'EAGAIN', control: { without: ['process limit'], says: 'OK' } },
  {
    name: 'memory',
    argument: '1100',
    refused: 'SIGKILL',
    control: { without: ['memory limit'], says: 'OK' },
  },
  {
    name: 'fill',
    argument: '/dev/shm/much',
    refused: 'ENOSPC',
    control: { without: ['mount options'], says: 'OK' },
  },
  {
    name: 'fill',
    argument: '/run/much',
    sudo: true,
    refused: 'ENOSPC',
    control: { without: ['mount options'], says: 'OK' },
  },
  {
    name: 'fill',
    argument: '/dev/much',
    sudo: true,
    refused: 'ENOSPC',
    control: { without: ['mount options'], says: 'OK' },
  },
];

export const PLACE_ATTEMPTS: readonly Attempt[] = [
  ...KERNEL_FILES,
  ...DEVICES,
  ...ROOT_ONLY,
  ...OTHERS,
  ...AGENT,
  ...LIMITS,
];
