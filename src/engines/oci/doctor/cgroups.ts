import type { Finding } from '../../engine.ts';
import { advise, fixAsRoot, ok, writeFileStep } from './finding.ts';
import type { HostFacts } from './host-facts.ts';

const NEEDED = ['cpu', 'memory', 'pids'];
const DELEGATION = '/etc/systemd/system/user@.service.d';
const UNBOUNDED = 'CPU and memory of a sandbox are not limited';
const NAMES = { none: 'no cgroups', v1: 'cgroups v1', hybrid: 'hybrid cgroups', v2: 'cgroups v2' } as const;

/** Whether this user can bound what a sandbox takes. Never an error: sandboxes run without, and say so. */
export function cgroupFindings(facts: HostFacts): Finding[] {
  const { layout, writable } = facts.cgroups;
  if (layout === 'none') {
    return [advise('warning', `There are no cgroups here: ${UNBOUNDED}`, 'Mount them at /sys/fs/cgroup.')];
  }
  if (!facts.isRoot) return [userFinding(facts)];
  if (writable) return [ok(`Limits of CPU, memory and processes by ${NAMES[layout]}`)];
  return [
    advise(
      'warning',
      `The cgroups are mounted read-only here: ${UNBOUNDED}`,
      'In a container: give it a writable cgroup tree (with Docker: --privileged --cgroupns=private).',
    ),
  ];
}

function userFinding({ cgroups }: HostFacts): Finding {
  if (cgroups.layout !== 'v2') {
    return advise(
      'warning',
      `Users get no ${NAMES[cgroups.layout]}: ${UNBOUNDED}`,
      'Boot with cgroups v2 alone (kernel parameter systemd.unified_cgroup_hierarchy=1), or run the server as root.',
    );
  }
  const { delegated } = cgroups;
  if (delegated === null) {
    return advise(
      'warning',
      `This user has no systemd manager that could delegate cgroups: ${UNBOUNDED}`,
      'Log in through PAM and systemd (for a service account: loginctl enable-linger), or run the server as root.',
    );
  }
  const missing = NEEDED.filter((controller) => !delegated.includes(controller));
  if (missing.length === 0)
    return ok('Limits of CPU, memory and processes by cgroups v2, delegated by systemd');
  return fixAsRoot(
    'warning',
    `systemd does not delegate the controllers ${missing.join(', ')} to this user: ${UNBOUNDED}`,
    [
      ['mkdir', '-p', DELEGATION],
      writeFileStep(`${DELEGATION}/sandbox-mcp.conf`, ['[Service]', 'Delegate=cpu cpuset io memory pids']),
      ['systemctl', 'daemon-reload'],
    ],
    'Then log in anew: a running user manager keeps what it was given.',
  );
}
