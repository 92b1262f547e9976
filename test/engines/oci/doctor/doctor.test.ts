import { describe, expect, it } from 'vitest';
import { evaluate } from '../../../../src/engines/oci/doctor/diagnose.ts';
import type { DistroFamily } from '../../../../src/engines/oci/doctor/distro.ts';
import type { HostFacts } from '../../../../src/engines/oci/doctor/host-facts.ts';
import {
  ALICE,
  failed,
  nothingInstalled,
  notTried,
  problemsOf,
  ROOT,
  ran,
  stateDir,
  without,
} from './support/doctor-hosts.ts';

describe('the verdict', () => {
  it.each([
    ['root', ROOT],
    ['a user', ALICE],
    ['a container in which sandboxes work anyway', { ...ROOT, inContainer: true, rootIsLimited: true }],
    ['an unusual file system on which sandboxes work anyway', stateDir({ fileSystem: 'overlay' })],
  ])('is positive for %s', (_, facts) => {
    const diagnosis = evaluate(facts, 'auto', ran);
    expect(problemsOf(diagnosis)).toEqual([]);
    expect(diagnosis.works).toBe(true);
  });

  it('is negative if no sandbox could be started, whatever the reason', () => {
    const diagnosis = evaluate(ROOT, 'auto', {
      kind: 'not_tried',
      reason: 'The state directory has format "9".',
    });
    expect(diagnosis.works).toBe(false);
    expect(problemsOf(diagnosis)).toEqual([
      'error: Could not try a sandbox: The state directory has format "9".\nFix that, then run doctor again.',
    ]);
  });

  it('quotes the runtime when a trial failed', () => {
    expect(problemsOf(evaluate(ROOT, 'auto', failed))).toEqual([
      'error: crun 1.8 cannot run a sandbox (no cgroup limits)\nIt said: clone: Operation not permitted',
    ]);
  });
});

describe('no runtime', () => {
  it.each<[DistroFamily, string[]]>([
    [
      'debian',
      [
        'apt-get update',
        'env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends crun',
      ],
    ],
    ['fedora', ['dnf install -y crun']],
    ['arch', ['pacman -Sy --noconfirm --needed crun']],
    ['alpine', ['apk add crun']],
    ['suse', ['zypper --non-interactive install crun']],
  ])('has an install command on %s', (family, lines) => {
    const facts = { ...ROOT, distro: { family, name: family } };
    const diagnosis = evaluate(facts, 'auto', nothingInstalled);
    expect(diagnosis.works).toBe(false);
    expect(problemsOf(diagnosis)).toEqual([
      ['error: No OCI runtime (crun or runc) is installed', ...lines.map((line) => `# ${line}`)].join('\n'),
    ]);
  });

  it('names the program to install on an unknown distribution', () => {
    const facts: HostFacts = { ...ROOT, distro: { family: 'other', name: 'Void' } };
    expect(problemsOf(evaluate(facts, 'auto', nothingInstalled))).toEqual([
      'error: No OCI runtime (crun or runc) is installed\nInstall crun with the package manager of Void.',
    ]);
  });

  it('means runc without unified cgroups, and otherwise the configured runtime', () => {
    const hybrid: HostFacts = { ...ROOT, cgroups: { ...ROOT.cgroups, layout: 'hybrid' } };
    expect(problemsOf(evaluate(hybrid, 'auto', nothingInstalled)).join()).toContain('recommends runc');
    expect(problemsOf(evaluate(hybrid, 'crun', nothingInstalled)).join()).toContain('crun is not installed');
    expect(problemsOf(evaluate(hybrid, '/opt/runsc', nothingInstalled))).toEqual([
      'error: The OCI runtime /opt/runsc is not installed\nInstall it, or leave --oci-runtime out.',
    ]);
  });
});

describe('the agent', () => {
  const unbuilt: HostFacts = { ...ROOT, agent: { ...ROOT.agent, built: false } };
  const build = `error: The agent for x64 is not built\n$ ${process.execPath} /project/scripts/build.mjs`;

  it('is built from the sources', () => {
    expect(problemsOf(evaluate(unbuilt, 'auto', notTried))).toEqual([build]);
  });

  it('needs a compiler, and a runtime as well when nothing is installed', () => {
    const bare = without(unbuilt, 'cc', 'crun', 'runc');
    const [compiler, agent, runtime] = problemsOf(evaluate(bare, 'auto', notTried));
    expect(compiler).toContain('recommends gcc libc6-dev');
    expect(agent).toBe(build);
    expect(runtime).toContain('recommends crun');
  });

  it('cannot be added to a package that lacks it', () => {
    const packaged = { ...unbuilt, agent: { built: false, buildScript: null } };
    expect(problemsOf(evaluate(packaged, 'auto', notTried)).join()).toContain('Reinstall the package');
  });
});

describe('restrictions on creating namespaces', () => {
  it.each<[string, HostFacts, string[]]>([
    [
      'disabled',
      { ...ROOT, maxUserNamespaces: 0 },
      [
        'error: User namespaces are disabled (user.max_user_namespaces is 0)',
        '# awk BEGIN { print "user.max_user_namespaces = 15000" > "/etc/sysctl.d/90-sandbox-mcp.conf" }',
        '# sysctl -p /etc/sysctl.d/90-sandbox-mcp.conf',
      ],
    ],
    [
      'disabled for unprivileged users',
      { ...ALICE, unprivilegedUserns: 0 },
      [
        'error: User namespaces are disabled for ordinary users (kernel.unprivileged_userns_clone is 0)',
        '# awk BEGIN { print "kernel.unprivileged_userns_clone = 1" > "/etc/sysctl.d/90-sandbox-mcp.conf" }',
        '# sysctl -p /etc/sysctl.d/90-sandbox-mcp.conf',
      ],
    ],
    [
      'guarded by AppArmor, with profiles of the distribution',
      { ...ALICE, apparmorRestrictsUserns: 1, apparmorProfiles: new Set(['crun', 'runc']) },
      [
        'error: AppArmor denies user namespaces to programs without a profile that allows them (Ubuntu)',
        '# awk BEGIN { print "abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile sandbox-mcp-agent ' +
          '\\"/state/bin/agent-*\\" flags=(unconfined) { userns, }" > "/etc/apparmor.d/sandbox-mcp" }',
        '# apparmor_parser -r /etc/apparmor.d/sandbox-mcp',
        'To allow them for every program instead: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0',
      ],
    ],
    [
      'imposed by an unprivileged container',
      { ...ROOT, inContainer: true, rootIsLimited: true },
      [
        'error: This is root of an unprivileged container: it cannot mount or create namespaces',
        'Run the server on the host, or run the container as an ordinary user with a volume for the state directory and ' +
          '--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined ' +
          '(docs/container.md).',
      ],
    ],
  ])('are reported: %s', (_, facts, lines) => {
    const diagnosis = evaluate(facts, 'auto', failed);
    expect(diagnosis.works).toBe(false);
    expect(problemsOf(diagnosis)).toContain(lines.join('\n'));
  });

  it('include a profile for a runtime for which the distribution has none', () => {
    const facts = without({ ...ALICE, apparmorRestrictsUserns: 1 }, 'runc');
    const text = problemsOf(evaluate(facts, 'auto', failed)).join();
    expect(text).toContain('profile sandbox-mcp-crun /usr/{s,}bin/crun flags=(unconfined) { userns, }');
    expect(text).not.toContain('profile sandbox-mcp-runc');
  });

  it('do not concern root when they apply to users only', () => {
    const facts = { ...ROOT, unprivilegedUserns: 0, apparmorRestrictsUserns: 1 };
    expect(problemsOf(evaluate(facts, 'auto', failed))).toHaveLength(1);
  });
});

describe('the ids of a user', () => {
  const consequence = 'sandboxes have a single user, so sudo changes nothing and chown fails';

  it('need newuidmap', () => {
    const diagnosis = evaluate(without(ALICE, 'newuidmap'), 'auto', ran);
    expect(diagnosis.works).toBe(true);
    expect(problemsOf(diagnosis).join()).toContain(`newuidmap and newgidmap are missing: ${consequence}`);
    expect(problemsOf(diagnosis).join()).toContain('recommends uidmap');
  });

  it('get a range after those already in use', () => {
    const facts = { ...ALICE, user: 'bob', uid: 1002 };
    expect(problemsOf(evaluate(facts, 'auto', ran))).toEqual([
      `warning: bob has no line in /etc/subuid or /etc/subgid: ${consequence}\n` +
        '# usermod --add-subuids 165536-231071 --add-subgids 165536-231071 bob',
    ]);
    expect(problemsOf(evaluate(without(facts, 'usermod'), 'auto', ran)).join()).toContain('bob:165536:65536');
  });

  it('are a single id for a user without a name', () => {
    const range = [{ owner: '1001', start: 100_000, count: 65_536 }];
    const facts = { ...ALICE, user: null, subuid: range, subgid: range };
    expect(problemsOf(evaluate(facts, 'auto', ran))).toEqual([
      `warning: User 1001 has no line in /etc/passwd: ${consequence}\n` +
        'Run the server as a user that has one, or accept the limitation.',
    ]);
  });

  it('may be listed by number', () => {
    const range = [{ owner: '1001', start: 100_000, count: 65_536 }];
    expect(problemsOf(evaluate({ ...ALICE, subuid: range, subgid: range }, 'auto', ran))).toEqual([]);
  });
});

describe('cgroups', () => {
  it.each<[string, HostFacts, string]>([
    ['absent', cgroups(ROOT, { layout: 'none' }), 'No cgroup file system is mounted'],
    ['read-only', cgroups(ROOT, { writable: false }), 'mounted read-only'],
    [
      'not available to users',
      cgroups(ALICE, { layout: 'hybrid' }),
      'Ordinary users cannot use hybrid cgroups',
    ],
    [
      'of a container',
      { ...cgroups(ALICE, { delegated: null }), inContainer: true },
      "The container's cgroups belong to another user",
    ],
    ['of nobody', cgroups(ALICE, { delegated: null }), 'no systemd user manager'],
    [
      'partly delegated',
      cgroups(ALICE, { delegated: ['memory', 'pids'] }),
      'does not delegate the controllers cpu to this user',
    ],
  ])('disable the limits, not the engine, when they are %s', (_, facts, text) => {
    const diagnosis = evaluate(facts, 'auto', ran);
    expect(diagnosis.works).toBe(true);
    expect(problemsOf(diagnosis)).toHaveLength(1);
    expect(problemsOf(diagnosis).join()).toMatch(/^warning: /);
    expect(problemsOf(diagnosis).join()).toContain(text);
    expect(problemsOf(diagnosis).join()).toContain('CPU and memory of sandboxes are not limited');
  });

  it('are delegated by a drop-in of systemd', () => {
    const facts = cgroups(ALICE, { delegated: ['memory', 'pids'] });
    expect(problemsOf(evaluate(facts, 'auto', ran)).join()).toContain(
      '# awk BEGIN { print "[Service]\\nDelegate=cpu cpuset io memory pids" > ' +
        '"/etc/systemd/system/user@.service.d/sandbox-mcp.conf" }\n# systemctl daemon-reload',
    );
  });
});

function cgroups(who: HostFacts, facts: Partial<HostFacts['cgroups']>): HostFacts {
  return { ...who, cgroups: { ...who.cgroups, ...facts } };
}

describe('ids of their own for sandboxes', () => {
  const warning = /^warning: Sandboxes share their user ids on the host.*\nOverlays do not work here/;

  it('are missed where root can mount but not map what is on disk', () => {
    const diagnosis = evaluate(ROOT, 'auto', { ...ran, separateIds: false });
    expect(diagnosis.works).toBe(true);
    expect(problemsOf(diagnosis)).toEqual([expect.stringMatching(warning)]);
  });

  it('are not expected of an ordinary user', () => {
    expect(problemsOf(evaluate(ALICE, 'auto', { ...ran, mounts: 'by-runtime', separateIds: false }))).toEqual(
      [],
    );
  });
});

describe('the host’s /dev/null', () => {
  const taken = { ...ROOT, nullOwner: 1_879_048_192 };

  it('is given back to root', () => {
    const diagnosis = evaluate(taken, 'auto', ran);
    expect(diagnosis.works).toBe(true);
    expect(problemsOf(diagnosis)).toEqual([
      'warning: /dev/null belongs to user 1879048192, the root of a container that crun started\n# chown root:root /dev/null\n# chmod 0666 /dev/null',
    ]);
  });

  it('is not this server’s in a container', () => {
    expect(problemsOf(evaluate({ ...taken, inContainer: true }, 'auto', ran))).toEqual([]);
  });
});
