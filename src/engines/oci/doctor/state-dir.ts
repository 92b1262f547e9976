import type { Finding } from '../../engine.ts';
import { advise, ok } from './finding.ts';
import type { HostFacts } from './host-facts.ts';

const MIB = 1_048_576;
const TOO_LITTLE = 100 * MIB;
const LITTLE = 2_048 * MIB;
/** Cannot hold the upper layer of an overlay: no whiteouts, no extended attributes, or an overlay themselves. */
const UNFIT = new Set([
  '9p',
  'cifs',
  'exfat',
  'ecryptfs',
  'fuseblk',
  'nfs',
  'nfs4',
  'ntfs',
  'ntfs3',
  'overlay',
  'smb3',
  'vfat',
  'virtiofs',
]);
/** Views of the kernel: nothing can be kept there. */
const PSEUDO = new Set(['cgroup', 'cgroup2', 'debugfs', 'devpts', 'proc', 'securityfs', 'sysfs', 'tracefs']);
const DISK = 'Disk use of sandboxes is looked at each second (--disk-mb), not enforced by a quota';
const ELSEWHERE = 'Name another place with --state-dir';

/** Whether sandboxes can be kept where they are to be. `works` says that one ran there. */
export function stateDirFindings(facts: HostFacts, works: boolean): Finding[] {
  const { path, fileSystem, notPassable } = facts.stateDir;
  const problem = works ? null : whyNotKept(facts);
  if (problem !== null) {
    const text = `No state can be kept in ${path}: ${problem}`;
    return [advise('error', text, `${ELSEWHERE}: a directory that this user can write.`)];
  }
  const findings: Finding[] = [];
  if (/[,:\\\s]/.test(path)) {
    const text = `The state directory's path holds a comma, a colon, a backslash or a blank: ${path}`;
    findings.push(advise('error', text, `${ELSEWHERE}: mount options cannot carry them.`));
  }
  if (!works && (UNFIT.has(fileSystem) || fileSystem.startsWith('fuse.'))) {
    const text = `The state directory is on ${fileSystem}, which cannot hold the layers of a sandbox: ${path}`;
    findings.push(advise('error', text, `${ELSEWHERE}, on a local disk such as ext4, xfs, btrfs or tmpfs.`));
  }
  if (!works && facts.isRoot && notPassable !== null) {
    const text = `The root of a sandbox cannot pass ${notPassable} on its way to the state directory`;
    findings.push(
      advise('error', text, `${ELSEWHERE}, below directories that everybody may pass (mode 0711).`),
    );
  }
  findings.push(...spaceFindings(facts));
  return findings.length > 0 ? findings : [ok(`State in ${path} (${fileSystem})`), ok(DISK)];
}

/** What keeps everything from being made there, or null. */
function whyNotKept({ stateDir: { existing, fileSystem } }: HostFacts): string | null {
  if (!existing.isDirectory) return `${existing.path} is not a directory`;
  if (PSEUDO.has(fileSystem)) return `${existing.path} is on ${fileSystem}, a view of the kernel`;
  return existing.writable ? null : `this user cannot write in ${existing.path}`;
}

function spaceFindings({ stateDir: { path, freeBytes } }: HostFacts): Finding[] {
  if (freeBytes >= LITTLE) return [];
  const level = freeBytes < TOO_LITTLE ? 'error' : 'warning';
  const text = `Only ${Math.floor(freeBytes / MIB)} MiB are free for ${path}`;
  return [advise(level, text, `Make room, or ${ELSEWHERE.toLowerCase()}.`)];
}
