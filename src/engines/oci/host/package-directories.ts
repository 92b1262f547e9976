/**
 * The part of `/var` that the host's packages ship, so that what dpkg calls installed finds its directories, and
 * those of services, empty. What programs and package scripts have put there is the host's data and is left out.
 */
import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  type Stats,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join, posix } from 'node:path';
import { setImmediate as otherEvents } from 'node:timers/promises';
import { systemErrorCode } from '../../../shared/errors.ts';
import { makeDirectory } from '../../../shared/fs/state-directory.ts';
import { DPKG_DATABASE } from './system-directories.ts';

/** The mount point of dpkg's database, and directories that apt expects (apt.conf(5), `Dir`). */
export const PACKAGE_DIRECTORIES = [
  DPKG_DATABASE,
  'var/lib/apt/lists/partial',
  'var/cache/apt/archives/partial',
  'var/cache/debconf',
  'var/log/apt',
];
/** Where the scripts of packages make a directory for the account of a service, which no list names. */
const SERVICE_PARENTS = ['cache', 'lib', 'log', 'spool'];
const LIST = '.list';
/** Files are read and written synchronously, which costs a tenth; other events pass after this many. */
const FILES_AT_ONCE = 32;
const MAX_FILE_BYTES = 1_048_576;
/** Ids of system accounts, which are the same inside. */
const SYSTEM_IDS = 1_000;

/** What belongs to a system account rather than to root. */
interface Owned {
  path: string;
  uid: number;
  gid: number;
}

/**
 * Everything copied belongs to this process's user; returns what another account should own.
 * @param root the host's root directory
 * @param to an empty directory, which becomes the sandbox's `/var`
 */
export async function copyPackageDirectories(root: string, to: string): Promise<Owned[]> {
  const info = join(root, DPKG_DATABASE, 'info');
  const links: string[] = [];
  const owned: Owned[] = [];
  for (const [index, { path, list }] of (await shippedPaths(info)).entries()) {
    if (index % FILES_AT_ONCE === 0) await otherEvents();
    // Through a link such as /var/run the copy would lead to the host's own files.
    if (links.some((link) => path.startsWith(`${link}/`))) continue;
    const target = join(to, posix.relative('/var', path));
    const copied = copyShipped(join(root, path), target, () => shippedDigest(info, list, path));
    if (copied?.isSymbolicLink()) links.push(path);
    if (copied === null) continue;
    owned.push(...ownerOf(target, copied));
  }
  for (const parent of SERVICE_PARENTS) {
    await otherEvents();
    owned.push(...makeServiceDirectories(join(root, 'var', parent), join(to, parent)));
  }
  for (const name of PACKAGE_DIRECTORIES) await makeDirectory(join(to, posix.relative('var', name)), 0o755);
  return owned;
}

/** Ids above those of system accounts mean nothing inside. */
function ownerOf(path: string, stats: Stats): Owned[] {
  const [uid = 0, gid = 0] = [stats.uid, stats.gid].map((id) => (id < SYSTEM_IDS ? id : 0));
  return uid + gid > 0 ? [{ path, uid, gid }] : [];
}

/**
 * The directories in `from` that belong to the account of a service, such as `/var/lib/redis`. None of a directory
 * that this user may not list, as `/var/log` on some hosts, or that is a link: the copy is that link too.
 */
function makeServiceDirectories(from: string, to: string): Owned[] {
  try {
    if (!lstatSync(from).isDirectory()) return [];
    return readdirSync(from).flatMap((name) => {
      const stats = lstatSync(join(from, name), { throwIfNoEntry: false });
      const target = join(to, name);
      if (stats?.isDirectory() !== true || stats.uid === 0 || stats.uid >= SYSTEM_IDS) return [];
      // A list may name it too.
      if (existsSync(target)) return [];
      makeParents(target);
      mkdirSync(target);
      chmodSync(target, stats.mode & 0o7777);
      return ownerOf(target, stats);
    });
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES') return [];
    throw error;
  }
}

/**
 * Paths below `/var` in the lists of files that packages ship, parents first, and the list that names each.
 */
async function shippedPaths(info: string): Promise<{ path: string; list: string }[]> {
  const lists = existsSync(info) ? readdirSync(info).filter((name) => name.endsWith(LIST)) : [];
  const found = new Map<string, string>();
  for (const [index, list] of lists.entries()) {
    if (index % FILES_AT_ONCE === 0) await otherEvents();
    for (const path of pathsBelowVar(readFileSync(join(info, list), 'utf8'))) found.set(path, list);
  }
  const paths = [...found].map(([path, list]) => ({ path, list }));
  return paths
    .filter(({ path }) => !path.startsWith(`/${DPKG_DATABASE}/`))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

function pathsBelowVar(list: string): string[] {
  // Most lists name none, and splitting them would take most of the time.
  if (!list.includes('/var/')) return [];
  return list.split('\n').filter((path) => path.startsWith('/var/') && posix.normalize(path) === path);
}

/** Returns what was copied; null for what the host does not have, or has changed. */
function copyShipped(from: string, to: string, digest: () => string | null): Stats | null {
  try {
    const info = lstatSync(from);
    makeParents(to);
    if (info.isDirectory()) {
      mkdirSync(to, { recursive: true });
      chmodSync(to, info.mode & 0o7777);
    } else if (info.isSymbolicLink()) symlinkSync(readlinkSync(from), to);
    else if (info.isFile() && (info.mode & 0o004) !== 0 && info.size <= MAX_FILE_BYTES) {
      const content = readFileSync(from);
      if (createHash('md5').update(content).digest('hex') !== digest()) return null;
      writeFileSync(to, content);
      chmodSync(to, info.mode & 0o755);
    } else return null;
    return info;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES' || code === 'EEXIST') return null;
    throw error;
  }
}

/** Parents that no list names. */
function makeParents(path: string): void {
  const parent = dirname(path);
  if (existsSync(parent)) return;
  makeParents(parent);
  mkdirSync(parent);
  // mkdir applies the umask.
  chmodSync(parent, 0o755);
}

/** As the package recorded it (`*.md5sums`, with paths relative to the root); null if it did not. */
function shippedDigest(info: string, list: string, path: string): string | null {
  try {
    const sums = readFileSync(join(info, `${list.slice(0, -LIST.length)}.md5sums`), 'utf8');
    const line = sums.split('\n').find((text) => text.slice(32) === `  ${path.slice(1)}`);
    return line?.slice(0, 32) ?? null;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
}
