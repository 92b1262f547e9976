/**
 * Facts of healthy hosts, outcomes of trials there, and diagnoses as text, for tests of the findings.
 */
import type { Diagnosis } from '../../../../../src/engines/engine.ts';
import type { HostFacts } from '../../../../../src/engines/oci/doctor/host-facts.ts';
import type { TrialOutcome } from '../../../../../src/engines/oci/doctor/runtime.ts';

export const ROOT: HostFacts = {
  distro: { family: 'debian', name: 'Debian' },
  kernel: '6.1.0',
  arch: 'x64',
  isRoot: true,
  user: 'root',
  uid: 0,
  programs: new Set(['crun', 'runc', 'newuidmap', 'newgidmap', 'cc', 'unshare', 'usermod', 'systemctl']),
  inContainer: false,
  rootIsLimited: false,
  unprivilegedUserns: null,
  maxUserNamespaces: 15_000,
  apparmorRestrictsUserns: null,
  apparmorProfiles: new Set(),
  subuid: [{ owner: 'alice', start: 100_000, count: 65_536 }],
  subgid: [{ owner: 'alice', start: 100_000, count: 65_536 }],
  cgroups: { layout: 'v2', writable: true, delegated: null },
  nullOwner: 0,
  agent: { built: true, buildScript: '/project/scripts/build.mjs' },
  stateDir: {
    path: '/state',
    existing: { path: '/state', isDirectory: true, writable: true },
    fileSystem: 'ext4',
    notPassable: null,
    shared: null,
    freeBytes: 2 ** 40,
  },
};
export const ALICE: HostFacts = {
  ...ROOT,
  isRoot: false,
  user: 'alice',
  uid: 1001,
  cgroups: { layout: 'v2', writable: false, delegated: ['cpu', 'memory', 'pids'] },
};

export const ran: Extract<TrialOutcome, { kind: 'tried' }> = {
  mounts: 'by-root',
  separateIds: true,
  kind: 'tried',
  trials: [{ name: 'crun', version: '1.8', cgroups: 'cgroupfs', egress: true, error: null }],
};
export const failed: TrialOutcome = {
  mounts: 'by-root',
  separateIds: true,
  kind: 'tried',
  trials: [
    {
      name: 'crun',
      version: '1.8',
      cgroups: 'none',
      egress: false,
      error: '\nclone: Operation not permitted\nmore',
    },
  ],
};
export const nothingInstalled: TrialOutcome = {
  kind: 'tried',
  trials: [],
  mounts: 'by-root',
  separateIds: true,
};
export const notTried: TrialOutcome = { kind: 'not_tried', reason: 'the agent is not built' };

export function without(facts: HostFacts, ...names: string[]): HostFacts {
  return { ...facts, programs: new Set([...facts.programs].filter((name) => !names.includes(name))) };
}

/** The problems: level, text, the commands that fix it, advice. */
export function problemsOf({ findings }: Diagnosis): string[] {
  return findings
    .filter(({ level }) => level !== 'ok')
    .map(({ level, text, remedy, remedyNeedsRoot, advice }) =>
      [
        `${level}: ${text}`,
        ...remedy.map((step) => `${remedyNeedsRoot ? '#' : '$'} ${step.join(' ')}`),
        ...(advice === null ? [] : [advice]),
      ].join('\n'),
    );
}

/** Of root, with another state directory. */
export function stateDir(facts: Partial<HostFacts['stateDir']>): HostFacts {
  return { ...ROOT, stateDir: { ...ROOT.stateDir, ...facts } };
}
