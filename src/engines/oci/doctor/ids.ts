import type { Finding } from '../../engine.ts';
import type { SubordinateRange } from '../host/id-map.ts';
import { advise, fixAsRoot, install, ok } from './finding.ts';
import type { HostFacts } from './host-facts.ts';

const RANGE = 65_536;
const FIRST_SUBORDINATE = 100_000;
/** The fewest ids that the engine uses for a mapping. */
const ENOUGH = 2_000;
const CONSEQUENCE = 'sandboxes have a single user, so sudo changes nothing and chown fails';

/** Whether ids can be mapped; if not, sandboxes still run, with a single user. */
export function idFindings(facts: HostFacts): Finding[] {
  if (facts.isRoot) return [];
  if (facts.user === null) return [unnamedFinding(facts.uid)];
  const tools = facts.programs.has('newuidmap') && facts.programs.has('newgidmap');
  const ranges = hasRange(facts, facts.subuid) && hasRange(facts, facts.subgid);
  if (tools && ranges) return [ok(`User ids of ${facts.user} are mapped by /etc/subuid and /etc/subgid`)];
  const findings: Finding[] = [];
  if (!tools) {
    const text = `newuidmap and newgidmap are missing: ${CONSEQUENCE}`;
    findings.push(install('warning', text, facts.distro, 'id-mapping', 'newuidmap and newgidmap'));
  }
  if (!ranges) findings.push(rangeFinding(facts, facts.user));
  return findings;
}

/** newuidmap looks up its caller by name, whatever /etc/subuid says. */
function unnamedFinding(uid: number): Finding {
  const text = `User ${uid} has no line in /etc/passwd: ${CONSEQUENCE}`;
  return advise('warning', text, 'Run the server as a user that has one, or accept the limitation.');
}

function rangeFinding(facts: HostFacts, user: string): Finding {
  const text = `${user} has no line in /etc/subuid or /etc/subgid: ${CONSEQUENCE}`;
  const range = freeRange([...facts.subuid, ...facts.subgid]);
  if (!facts.programs.has('usermod')) {
    const line = `${user}:${range.first}:${RANGE}`;
    return advise('warning', text, `As root, add the line ${line} to /etc/subuid and to /etc/subgid.`);
  }
  const ids = `${range.first}-${range.last}`;
  return fixAsRoot('warning', text, [['usermod', '--add-subuids', ids, '--add-subgids', ids, user]]);
}

function hasRange(facts: HostFacts, ranges: readonly SubordinateRange[]): boolean {
  return ranges.some(
    ({ owner, count }) => (owner === facts.user || owner === String(facts.uid)) && count >= ENOUGH,
  );
}

/** After every range in use, from where distributions start. */
function freeRange(taken: readonly SubordinateRange[]): { first: number; last: number } {
  const first = Math.max(FIRST_SUBORDINATE, ...taken.map(({ start, count }) => start + count));
  return { first, last: first + RANGE - 1 };
}
