import type { Finding } from '../../engine.ts';
import { advise, ok } from './finding.ts';
import type { HostFacts } from './host-facts.ts';

const MIB = 1_048_576;
const TOO_LITTLE = 100 * MIB;
const LITTLE = 2_048 * MIB;
/** Cannot hold an overlay's upper layer: no whiteouts, no extended attributes, or overlays themselves. */
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
/** Kernel file systems: no files can be stored there. */
const PSEUDO = new Set(['cgroup', 'cgroup2', 'debugfs', 'devpts', 'proc', 'securityfs', 'sysfs', 'tracefs']);
const DISK = 'Disk use of sandboxes is checked every second (--disk-mb), not enforced by a quota';
const CHOOSE_ANOTHER = 'Choose another directory with --state-dir';

/** Whether the state directory is usable. `works`: a sandbox ran there. */
export function stateDirFindings(facts: HostFacts, works: boolean): Finding[] {
  const { path, fileSystem, notPassable } = facts.stateDir;
  const problem = works ? null : whyNotKept(facts);
  if (problem !== null) {
    const text = `The state directory ${path} is not usable: ${problem}`;
    return [advise('error', text, `${CHOOSE_ANOTHER}, one that this user can write to.`)];
  }
  const findings: Finding[] = [];
  const { shared } = facts.stateDir;
  if (shared !== null) {
    const text = `Another user could replace what is in the state directory ${path}: ${shared.path} ${shared.problem}`;
    findings.push(
      advise('error', text, `${CHOOSE_ANOTHER}, below directories that only this user and root may change.`),
    );
  }
  if (/[,:\\\s]/.test(path)) {
    const text = `The state directory's path contains a comma, colon, backslash or whitespace: ${path}`;
    findings.push(advise('error', text, `${CHOOSE_ANOTHER}: mount options cannot contain these characters.`));
  }
  if (!works && (UNFIT.has(fileSystem) || fileSystem.startsWith('fuse.'))) {
    const text = `The state directory is on ${fileSystem}, which cannot hold the layers of a sandbox: ${path}`;
    findings.push(
      advise('error', text, `${CHOOSE_ANOTHER}, on a local disk such as ext4, xfs, btrfs or tmpfs.`),
    );
  }
  if (!works && facts.isRoot && notPassable !== null) {
    const text = `The root of a sandbox cannot reach the state directory: ${notPassable} has no search permission for others`;
    findings.push(
      advise(
        'error',
        text,
        `${CHOOSE_ANOTHER} whose parent directories all have mode 0711 or more, or run chmod o+x on that directory.`,
      ),
    );
  }
  findings.push(...spaceFindings(facts));
  return findings.length > 0 ? findings : [ok(`State in ${path} (${fileSystem})`), ok(DISK)];
}

/** Why nothing can be created there, or null. */
function whyNotKept({ stateDir: { existing, fileSystem } }: HostFacts): string | null {
  if (!existing.isDirectory) return `${existing.path} is not a directory`;
  if (PSEUDO.has(fileSystem)) return `${existing.path} is on ${fileSystem}, a kernel file system`;
  return existing.writable ? null : `this user cannot write to ${existing.path}`;
}

function spaceFindings({ stateDir: { path, freeBytes } }: HostFacts): Finding[] {
  if (freeBytes >= LITTLE) return [];
  const level = freeBytes < TOO_LITTLE ? 'error' : 'warning';
  const text = `Only ${Math.floor(freeBytes / MIB)} MiB are free for ${path}`;
  return [advise(level, text, `Make room, or ${CHOOSE_ANOTHER.toLowerCase()}.`)];
}
