import type { Finding } from '../../engine.ts';
import { advise, fixAsRoot, ok, writeFileStep } from './finding.ts';
import type { HostFacts } from './host-facts.ts';

const SYSCTL_FILE = '/etc/sysctl.d/90-sandbox-mcp.conf';
const APPARMOR_FILE = '/etc/apparmor.d/sandbox-mcp';
const ENOUGH_NAMESPACES = 15_000;

/** What keeps this user from creating namespaces. `works`: a sandbox ran, which outweighs every setting. */
export function namespaceFindings(facts: HostFacts, works: boolean): Finding[] {
  if (works)
    return [ok(`User namespaces and overlays work${facts.inContainer ? ', inside a container' : ''}`)];
  return [...containerFindings(facts), ...switchedOff(facts), ...apparmorFindings(facts)];
}

function containerFindings(facts: HostFacts): Finding[] {
  if (!facts.rootIsLimited && !facts.inContainer) return [];
  return [
    advise(
      facts.rootIsLimited ? 'error' : 'warning',
      facts.rootIsLimited
        ? 'This is root of an unprivileged container: it cannot mount or create namespaces'
        : 'The server runs inside a container, whose seccomp profile may forbid namespaces and mounts',
      'Run the server on the host, or run the container as an ordinary user with a volume for the state directory and ' +
        '--security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined ' +
        '(docs/container.md).',
    ),
  ];
}

function switchedOff(facts: HostFacts): Finding[] {
  const findings: Finding[] = [];
  if (facts.maxUserNamespaces === 0) {
    const setting = `user.max_user_namespaces = ${ENOUGH_NAMESPACES}`;
    findings.push(sysctl('User namespaces are disabled (user.max_user_namespaces is 0)', setting));
  }
  if (facts.unprivilegedUserns === 0 && !facts.isRoot) {
    const setting = 'kernel.unprivileged_userns_clone = 1';
    findings.push(
      sysctl(
        'User namespaces are disabled for ordinary users (kernel.unprivileged_userns_clone is 0)',
        setting,
      ),
    );
  }
  return findings;
}

function sysctl(text: string, setting: string): Finding {
  return fixAsRoot('error', text, [writeFileStep(SYSCTL_FILE, [setting]), ['sysctl', '-p', SYSCTL_FILE]]);
}

/**
 * Ubuntu 23.10 and later: a program that creates user namespaces needs an AppArmor profile that allows
 * `userns`.
 */
function apparmorFindings(facts: HostFacts): Finding[] {
  if (facts.isRoot || facts.apparmorRestrictsUserns !== 1) return [];
  const runtimes = ['crun', 'runc'].filter(
    (name) => facts.programs.has(name) && !facts.apparmorProfiles.has(name),
  );
  const programs: [string, string][] = [
    ...runtimes.map((name): [string, string] => [name, `/usr/{s,}bin/${name}`]),
    // Removes files with subordinate ids, in a user namespace of its own.
    ['agent', `"${facts.stateDir.path}/bin/agent-*"`],
  ];
  const profiles = programs.map(
    ([name, path]) => `profile sandbox-mcp-${name} ${path} flags=(unconfined) { userns, }`,
  );
  const steps = [
    writeFileStep(APPARMOR_FILE, ['abi <abi/4.0>,', 'include <tunables/global>', ...profiles]),
    ['apparmor_parser', '-r', APPARMOR_FILE],
  ];
  return [
    fixAsRoot(
      'error',
      'AppArmor denies user namespaces to programs without a profile that allows them (Ubuntu)',
      steps,
      'To allow them for every program instead: sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0',
    ),
  ];
}
