/** The isolation layers of a sandbox, and how a test removes one of them. */
import { readFileSync } from 'node:fs';
import { z } from 'zod';
import type { Mount } from '../../../src/engines/oci/storage/overlay-layers.ts';

export const LAYERS = [
  'system calls',
  'capabilities',
  'user namespace',
  'network namespace',
  'ipc namespace',
  'uts namespace',
  'masked paths',
  'read-only paths',
  'mount options',
  'mount namespace',
  'devices',
  'process limit',
  'memory limit',
  'hidden agent',
] as const;
export type Layer = (typeof LAYERS)[number];

/** The parts of `config.json` that the changes need; the rest is kept. */
const draftSchema = z.looseObject({
  process: z.looseObject({
    args: z.array(z.string()),
    capabilities: z.record(z.enum(['bounding', 'effective', 'permitted']), z.array(z.string())),
    noNewPrivileges: z.boolean(),
  }),
  root: z.looseObject({ readonly: z.boolean() }),
  hostname: z.string().optional(),
  mounts: z.array(
    z.object({
      destination: z.string(),
      type: z.string(),
      source: z.string(),
      options: z.array(z.string()),
    }),
  ),
  linux: z.looseObject({
    namespaces: z.array(z.object({ type: z.string() })),
    uidMappings: z.unknown().optional(),
    gidMappings: z.unknown().optional(),
    resources: z.record(z.string(), z.unknown()).optional(),
    maskedPaths: z.array(z.string()),
    readonlyPaths: z.array(z.string()),
    seccomp: z.unknown().optional(),
  }),
});
type Draft = z.infer<typeof draftSchema>;

/** What the control without a `mount namespace` or `devices` shows of the host inside. */
export interface Shown {
  folders: readonly string[];
  devices: readonly string[];
}

const NAMES = `CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
  NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE
  SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL
  SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE`.split(
  /\s+/,
);

/** Every capability that this process can pass on. */
export function heldCapabilities(): string[] {
  const bits = BigInt(`0x${/^CapBnd:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]}`);
  return NAMES.filter((_, bit) => ((bits >> BigInt(bit)) & 1n) === 1n).map((name) => `CAP_${name}`);
}

function withoutNamespace(draft: Draft, type: string): void {
  draft.linux.namespaces = draft.linux.namespaces.filter((namespace) => namespace.type !== type);
}

function setCapabilities(draft: Draft, names: string[]): void {
  draft.process.capabilities = { bounding: names, effective: names, permitted: names };
}

function bound(path: string, options: string[]): Mount {
  return { destination: path, type: 'bind', source: path, options };
}

const REMOVED: Record<Layer, (draft: Draft, shown: Shown) => void> = {
  'system calls': (draft) => {
    delete draft.linux.seccomp;
  },
  capabilities: (draft) => {
    // The egress setup is kept: the agent drops the capability that it needs for it.
    draft.process.args = draft.process.args.filter((word) => word !== 'egress');
    setCapabilities(draft, heldCapabilities());
  },
  'user namespace': (draft) => {
    withoutNamespace(draft, 'user');
    delete draft.linux.uidMappings;
    delete draft.linux.gidMappings;
  },
  'network namespace': (draft) => {
    // In the host's network, no rules or addresses may be set up.
    draft.process.args = draft.process.args.filter((word) => word !== 'egress');
    const names = draft.process.capabilities.bounding.filter((name) => !name.startsWith('CAP_NET_'));
    setCapabilities(draft, names);
    withoutNamespace(draft, 'network');
    // A user namespace may mount only the sysfs of its own network, which contains the cgroup mount.
    draft.mounts = draft.mounts.filter(({ type }) => type !== 'sysfs' && type !== 'cgroup');
  },
  'ipc namespace': (draft) => withoutNamespace(draft, 'ipc'),
  'uts namespace': (draft) => {
    withoutNamespace(draft, 'uts');
    delete draft.hostname;
  },
  'masked paths': (draft) => {
    draft.linux.maskedPaths = [];
  },
  'read-only paths': (draft) => {
    draft.linux.readonlyPaths = [];
  },
  'mount options': (draft) => {
    const restrictions = ['ro', 'nosuid', 'nodev', 'noexec'];
    for (const mount of draft.mounts) {
      if (mount.destination === '/.agent') continue;
      mount.options = mount.options.filter(
        (option) => !restrictions.includes(option) && !option.startsWith('size='),
      );
    }
    draft.root.readonly = false;
  },
  'mount namespace': (draft, { folders }) => {
    draft.mounts.push(...folders.map((path) => bound(path, ['bind'])));
  },
  devices: (draft, { devices }) => {
    draft.mounts.push(...devices.map((path) => bound(path, ['bind', 'dev'])));
    draft.linux.resources = { ...draft.linux.resources, devices: [{ allow: true, access: 'rwm' }] };
  },
  'process limit': (draft) => {
    draft.linux.resources = { ...draft.linux.resources, pids: { limit: 8_192 } };
  },
  'memory limit': (draft) => {
    const { memory: _, ...others } = draft.linux.resources ?? {};
    draft.linux.resources = others;
  },
  // The rest is a different agent: see no-hiding.h.
  'hidden agent': (draft) => {
    draft.process.noNewPrivileges = false;
    // Capabilities that PID 1 has and a sudo command lacks would protect PID 1.
    const more = ['CAP_SETPCAP', 'CAP_NET_ADMIN'];
    const names = draft.process.capabilities.bounding.filter((name) => !more.includes(name));
    draft.process.args = draft.process.args.filter((word) => word !== 'egress');
    setCapabilities(draft, names);
  },
};

/** The bundle of a sandbox without these layers. */
export function without(layers: readonly Layer[], config: object, shown: Shown): object {
  const draft = draftSchema.parse(structuredClone(config));
  for (const layer of layers) REMOVED[layer](draft, shown);
  return draft;
}
