import type { Finding } from '../../engine.ts';
import { advise, fixAsRoot, ok, writeFileStep } from './finding.ts';
import type { HostFacts } from './host-facts.ts';

const NEEDED = ['cpu', 'memory', 'pids'];
const DELEGATION = '/etc/systemd/system/user@.service.d';
const UNBOUNDED = 'CPU and memory of sandboxes are not limited';
const NAMES = { none: 'no cgroups', v1: 'cgroups v1', hybrid: 'hybrid cgroups', v2: 'cgroups v2' } as const;

/**
 * Whether this user can limit a sandbox's resources. Never an error: sandboxes run without limits, and report
 * it.
 */
export function cgroupFindings(facts: HostFacts): Finding[] {
  const { layout, writable } = facts.cgroups;
  if (layout === 'none') {
    return [
      advise('warning', `No cgroup file system is mounted: ${UNBOUNDED}`, 'Mount cgroup2 at /sys/fs/cgroup.'),
    ];
  }
  if (!facts.isRoot) return [userFinding(facts)];
  if (writable) return [ok(`CPU, memory and process limits: ${NAMES[layout]}`)];
  return [
    advise(
      'warning',
      `cgroups are mounted read-only: ${UNBOUNDED}`,
      'If this is a container, give it a writable cgroup tree (Docker: --privileged --cgroupns=private).',
    ),
  ];
}

function userFinding({ cgroups, inContainer }: HostFacts): Finding {
  if (inContainer && cgroups.delegated === null) {
    return advise(
      'warning',
      `The container's cgroups belong to another user: ${UNBOUNDED} each`,
      'Limit all of them together: --memory, --cpus and --pids-limit of docker run or podman run.',
    );
  }
  if (cgroups.layout !== 'v2') {
    return advise(
      'warning',
      `Ordinary users cannot use ${NAMES[cgroups.layout]}: ${UNBOUNDED}`,
      'Boot with cgroups v2 only (kernel parameter systemd.unified_cgroup_hierarchy=1), or run the server as root.',
    );
  }
  const { delegated } = cgroups;
  if (delegated === null) {
    return advise(
      'warning',
      `This user has no systemd user manager to delegate cgroups: ${UNBOUNDED}`,
      'Log in through PAM and systemd (for a service account: loginctl enable-linger), or run the server as root.',
    );
  }
  const missing = NEEDED.filter((controller) => !delegated.includes(controller));
  if (missing.length === 0) return ok('CPU, memory and process limits: cgroups v2, delegated by systemd');
  return fixAsRoot(
    'warning',
    `systemd does not delegate the controllers ${missing.join(', ')} to this user: ${UNBOUNDED}`,
    [
      ['mkdir', '-p', DELEGATION],
      writeFileStep(`${DELEGATION}/sandbox-mcp.conf`, ['[Service]', 'Delegate=cpu cpuset io memory pids']),
      ['systemctl', 'daemon-reload'],
    ],
    'Then log in again: a running user manager keeps its old settings.',
  );
}
