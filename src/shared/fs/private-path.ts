/** Whether somebody else could replace a directory or what is in it. */
import { lstatSync, readFileSync, realpathSync, type Stats } from 'node:fs';
import { dirname } from 'node:path';
import { SandboxError, systemErrorCode } from '../errors.ts';

const STICKY = 0o1000;
const GROUP_WRITE = 0o020;
const OTHERS_WRITE = 0o002;
const ROOT = 0;
/** How the kernel shows owners without an id in this user namespace (user_namespaces(7)). */
const OVERFLOW_ID = 65_534;

export interface SharedDirectory {
  path: string;
  problem: string;
}

/**
 * The first directory on the way to `path`, itself included, that another user owns or may write to; null if
 * there is none. Components that do not exist yet are skipped. A sticky directory such as /tmp is fine as a
 * parent: what is in it keeps its owner.
 *
 * Synchronous, since every start asks for several directories with many parents, and a promise costs ten times
 * as much as each look.
 */
export function findSharedDirectory(path: string): SharedDirectory | null {
  const uid = process.geteuid?.();
  if (uid === undefined) return null;
  const places = new Set([...ancestors(path).reverse(), ...ancestors(nearestRealPath(path)).reverse()]);
  for (const place of places) {
    const stats = statsOf(place);
    const problem = stats === null ? null : problemOf(stats, uid, place === path);
    if (problem !== null) return { path: place, problem };
  }
  return null;
}

/**
 * @throws `unavailable` if another user could change what is in the state directory; doctor names the
 *   directory
 */
export function requirePrivatePath(path: string): void {
  const shared = findSharedDirectory(path);
  if (shared === null) return;
  throw new SandboxError(
    'unavailable',
    'The state directory cannot be used: another user could replace what is in it.',
    {
      hint: 'The operator can name another with --state-dir; `sandbox-mcp doctor` shows which directory is open to whom.',
      cause: new Error(`${shared.path} ${shared.problem}`),
    },
  );
}

function problemOf(stats: Stats, uid: number, isLast: boolean): string | null {
  const { uid: owner, gid, mode } = stats;
  const trusted =
    owner === uid || (!isLast && (owner === ROOT || (owner === OVERFLOW_ID && isInUserNamespace())));
  if (!trusted) return `belongs to user ${owner}`;
  if (!stats.isDirectory() || (!isLast && (mode & STICKY) !== 0)) return null;
  if ((mode & OTHERS_WRITE) !== 0) return 'may be written to by every user';
  // A group of the user's own, as many distributions make one for each user.
  const isOwnGroup = uid !== ROOT && gid === uid && gid === process.getegid?.();
  return (mode & GROUP_WRITE) !== 0 && !isOwnGroup ? `may be written to by group ${gid}` : null;
}

/** Then owners such as the host's root have no id here. */
function isInUserNamespace(): boolean {
  try {
    return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'utf8'));
  } catch {
    return false;
  }
}

function ancestors(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [path] : [path, ...ancestors(parent)];
}

/** Null if there is no such file. */
function statsOf(path: string): Stats | null {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) ?? null;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOTDIR') return null;
    throw error;
  }
}

function nearestRealPath(path: string): string {
  try {
    return realpathSync.native(path);
  } catch (error) {
    const parent = dirname(path);
    if (parent === path) throw error;
    return nearestRealPath(parent);
  }
}
