import { describe, expect, it } from 'vitest';
import { judge } from '../../../../src/engines/oci/doctor/diagnose.ts';
import type { DistroFamily } from '../../../../src/engines/oci/doctor/distro.ts';
import type { HostFacts } from '../../../../src/engines/oci/doctor/host-facts.ts';
import {
  ALICE,
  amiss,
  failed,
  nothingInstalled,
  notTried,
  ROOT,
  ran,
  stateDir,
  without,
} from './support/doctor-hosts.ts';

describe('the verdict', () => {
  it.each([
    ['root', ROOT],
    ['a user', ALICE],
    ['a container in which it works all the same', { ...ROOT, inContainer: true, rootIsLimited: true }],
    ['an odd file system on which it works all the same', stateDir({ fileSystem: 'overlay' })],
  ])('is good for %s', (_, facts) => {
    const diagnosis = judge(facts, 'auto', ran);
    expect(amiss(diagnosis)).toEqual([]);
    expect(diagnosis.works).toBe(true);
  });

  it('is bad where no sandbox could be tried, whatever the reason', () => {
    const diagnosis = judge(ROOT, 'auto', {
      kind: 'not_tried',
      reason: 'The state directory has format "9".',
    });
    expect(diagnosis.works).toBe(false);
    expect(amiss(diagnosis)).toEqual([
      'error: No sandbox could be tried: The state directory has format "9".\nMend that, then run doctor again.',
    ]);
  });

  it('quotes the runtime where a trial failed', () => {
    expect(amiss(judge(ROOT, 'auto', failed))).toEqual([
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
  ])('on %s has its line', (family, lines) => {
    const facts = { ...ROOT, distro: { family, name: family } };
    const diagnosis = judge(facts, 'auto', nothingInstalled);
    expect(diagnosis.works).toBe(false);
    expect(amiss(diagnosis)).toEqual([
      ['error: No OCI runtime (crun or runc) is installed', ...lines.map((line) => `# ${line}`)].join('\n'),
    ]);
  });

  it('on an unknown distribution names what to look for', () => {
    const facts: HostFacts = { ...ROOT, distro: { family: 'other', name: 'Void' } };
    expect(amiss(judge(facts, 'auto', nothingInstalled))).toEqual([
      'error: No OCI runtime (crun or runc) is installed\nInstall crun by the package manager of Void.',
    ]);
  });

  it('means runc where cgroups are not unified, and the one that was asked for', () => {
    const hybrid: HostFacts = { ...ROOT, cgroups: { ...ROOT.cgroups, layout: 'hybrid' } };
    expect(amiss(judge(hybrid, 'auto', nothingInstalled)).join()).toContain('recommends runc');
    expect(amiss(judge(hybrid, 'crun', nothingInstalled)).join()).toContain('crun is not installed');
    expect(amiss(judge(hybrid, '/opt/runsc', nothingInstalled))).toEqual([
      'error: The OCI runtime /opt/runsc is not installed\nInstall it, or leave --oci-runtime out.',
    ]);
  });
});

describe('the agent', () => {
  const unbuilt: HostFacts = { ...ROOT, agent: { ...ROOT.agent, built: false } };
  const build = `error: The agent for x64 is not built\n$ ${process.execPath} /project/scripts/build.mjs`;

  it('is built from the sources', () => {
    expect(amiss(judge(unbuilt, 'auto', notTried))).toEqual([build]);
  });

  it('takes a compiler, and with nothing installed a runtime as well', () => {
    const bare = without(unbuilt, 'cc', 'crun', 'runc');
    const [compiler, agent, runtime] = amiss(judge(bare, 'auto', notTried));
    expect(compiler).toContain('recommends gcc libc6-dev');
    expect(agent).toBe(build);
    expect(runtime).toContain('recommends crun');
  });

  it('is missing from a package for good', () => {
    const packaged = { ...unbuilt, agent: { built: false, buildScript: null } };
    expect(amiss(judge(packaged, 'auto', notTried)).join()).toContain('Install the package again');
  });
});

describe('the walls around namespaces', () => {
  it.each<[string, HostFacts, string[]]>([
    [
      'switched off',
      { ...ROOT, maxUserNamespaces: 0 },
      [
        'error: User namespaces are switched off (user.max_user_namespaces is 0)',
        '# awk BEGIN { print "user.max_user_namespaces = 15000" > "/etc/sysctl.d/90-sandbox-mcp.conf" }',
        '# sysctl -p /etc/sysctl.d/90-sandbox-mcp.conf',
      ],
    ],
    [
      'closed to users',
      { ...ALICE, unprivilegedUserns: 0 },
      [
        'error: User namespaces are closed to users (kernel.unprivileged_userns_clone is 0)',
        '# awk BEGIN { print "kernel.unprivileged_userns_clone = 1" > "/etc/sysctl.d/90-sandbox-mcp.conf" }',
        '# sysctl -p /etc/sysctl.d/90-sandbox-mcp.conf',
      ],
    ],
    [
      'guarded by AppArmor, with profiles of the distribution',
      { ...ALICE, apparmorRestrictsUserns: 1, apparmorProfiles: new Set(['crun', 'runc']) },
      [
        'error: AppArmor closes user namespaces to programs without a profile for them (Ubuntu)',
        '# awk BEGIN { print "abi <abi/4.0>,\\ninclude <tunables/global>\\nprofile sandbox-mcp-agent ' +
          '\\"/state/bin/agent-*\\" flags=(unconfined) { userns, }" > "/etc/apparmor.d/sandbox-mcp" }',
        '# apparmor_parser -r /etc/apparmor.d/sandbox-mcp',
        'Wider, for every program: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0',
      ],
    ],
    [
      'those of an unprivileged container',
      { ...ROOT, inContainer: true, rootIsLimited: true },
      [
        'error: This root is a limited one, that of an unprivileged container: it may not mount nor make namespaces',
        'Run the server on the host itself, or give its container the right to nest (with Docker or Podman: ' +
          '--privileged, and a volume for the state directory).',
      ],
    ],
  ])('are told: %s', (_, facts, lines) => {
    const diagnosis = judge(facts, 'auto', failed);
    expect(diagnosis.works).toBe(false);
    expect(amiss(diagnosis)).toContain(lines.join('\n'));
  });

  it('name a profile for a runtime that the distribution has none for', () => {
    const facts = without({ ...ALICE, apparmorRestrictsUserns: 1 }, 'runc');
    const text = amiss(judge(facts, 'auto', failed)).join();
    expect(text).toContain('profile sandbox-mcp-crun /usr/{s,}bin/crun flags=(unconfined) { userns, }');
    expect(text).not.toContain('profile sandbox-mcp-runc');
  });

  it('do not concern root where they are for users', () => {
    const facts = { ...ROOT, unprivilegedUserns: 0, apparmorRestrictsUserns: 1 };
    expect(amiss(judge(facts, 'auto', failed))).toHaveLength(1);
  });
});

describe('the ids of a user', () => {
  const consequence = 'sandboxes have a single user, sudo changes nothing and chown fails';

  it('take newuidmap', () => {
    const diagnosis = judge(without(ALICE, 'newuidmap'), 'auto', ran);
    expect(diagnosis.works).toBe(true);
    expect(amiss(diagnosis).join()).toContain(`newuidmap and newgidmap are missing: ${consequence}`);
    expect(amiss(diagnosis).join()).toContain('recommends uidmap');
  });

  it('take a range, behind those that are taken', () => {
    const facts = { ...ALICE, user: 'bob', uid: 1002 };
    expect(amiss(judge(facts, 'auto', ran))).toEqual([
      `warning: bob has no line in /etc/subuid or /etc/subgid: ${consequence}\n` +
        '# usermod --add-subuids 165536-231071 --add-subgids 165536-231071 bob',
    ]);
    expect(amiss(judge(without(facts, 'usermod'), 'auto', ran)).join()).toContain('bob:165536:65536');
  });

  it('are one where the user has no name', () => {
    const range = [{ owner: '1001', start: 100_000, count: 65_536 }];
    const facts = { ...ALICE, user: null, subuid: range, subgid: range };
    expect(amiss(judge(facts, 'auto', ran))).toEqual([
      `warning: User 1001 has no line in /etc/passwd: ${consequence}\n` +
        'Run the server as a user that has one, or leave it as it is.',
    ]);
  });

  it('may be given by number', () => {
    const range = [{ owner: '1001', start: 100_000, count: 65_536 }];
    expect(amiss(judge({ ...ALICE, subuid: range, subgid: range }, 'auto', ran))).toEqual([]);
  });
});

describe('cgroups', () => {
  it.each<[string, HostFacts, string]>([
    ['absent', cgroups(ROOT, { layout: 'none' }), 'There are no cgroups here'],
    ['read-only', cgroups(ROOT, { writable: false }), 'mounted read-only'],
    ['not for users', cgroups(ALICE, { layout: 'hybrid' }), 'Users get no hybrid cgroups'],
    ['of nobody', cgroups(ALICE, { delegated: null }), 'no systemd manager'],
    [
      'delegated in part',
      cgroups(ALICE, { delegated: ['memory', 'pids'] }),
      'does not delegate the controllers cpu to this user',
    ],
  ])('that are %s cost the limits, not the engine', (_, facts, text) => {
    const diagnosis = judge(facts, 'auto', ran);
    expect(diagnosis.works).toBe(true);
    expect(amiss(diagnosis)).toHaveLength(1);
    expect(amiss(diagnosis).join()).toMatch(/^warning: /);
    expect(amiss(diagnosis).join()).toContain(text);
    expect(amiss(diagnosis).join()).toContain('CPU and memory of a sandbox are not limited');
  });

  it('are delegated by a drop-in of systemd', () => {
    const facts = cgroups(ALICE, { delegated: ['memory', 'pids'] });
    expect(amiss(judge(facts, 'auto', ran)).join()).toContain(
      '# awk BEGIN { print "[Service]\\nDelegate=cpu cpuset io memory pids" > ' +
        '"/etc/systemd/system/user@.service.d/sandbox-mcp.conf" }\n# systemctl daemon-reload',
    );
  });
});

function cgroups(who: HostFacts, facts: Partial<HostFacts['cgroups']>): HostFacts {
  return { ...who, cgroups: { ...who.cgroups, ...facts } };
}
