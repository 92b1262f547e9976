/**
 * The part of `/var` that the host's packages ship, so that what dpkg calls installed finds its directories.
 * What programs and package scripts have put there is the host's data and is left out.
 */
import { createHash } from 'node:crypto';
import type { Stats } from 'node:fs';
import { chmod, lstat, mkdir, readdir, readFile, readlink, symlink, writeFile } from 'node:fs/promises';
import { dirname, join, posix } from 'node:path';
import { mapConcurrent } from '../../../shared/async/map-concurrent.ts';
import { systemErrorCode } from '../../../shared/errors.ts';
import { pathExists } from '../../../shared/fs/path-exists.ts';
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
const LIST = '.list';
const FILES_AT_ONCE = 16;
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
  for (const { path, list } of await shippedPaths(info)) {
    // Through a link such as /var/run the copy would lead to the host's own files.
    if (links.some((link) => path.startsWith(`${link}/`))) continue;
    const target = join(to, posix.relative('/var', path));
    const copied = await copyShipped(join(root, path), target, () => shippedDigest(info, list, path));
    if (copied?.isSymbolicLink()) links.push(path);
    if (copied === null) continue;
    const [uid = 0, gid = 0] = [copied.uid, copied.gid].map((id) => (id < SYSTEM_IDS ? id : 0));
    if (uid + gid > 0) owned.push({ path: target, uid, gid });
  }
  for (const name of PACKAGE_DIRECTORIES) await makeDirectory(join(to, posix.relative('var', name)), 0o755);
  return owned;
}

/**
 * Paths below `/var` in the lists of files that packages ship, parents first, and the list that names each.
 */
async function shippedPaths(info: string): Promise<{ path: string; list: string }[]> {
  const lists = (await pathExists(info)) ? (await readdir(info)).filter((name) => name.endsWith(LIST)) : [];
  const found = new Map<string, string>();
  await mapConcurrent(lists, FILES_AT_ONCE, async (list) => {
    for (const path of (await readFile(join(info, list), 'utf8')).split('\n'))
      if (path.startsWith('/var/') && posix.normalize(path) === path) found.set(path, list);
  });
  const paths = [...found].map(([path, list]) => ({ path, list }));
  return paths
    .filter(({ path }) => !path.startsWith(`/${DPKG_DATABASE}/`))
    .sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** Returns what was copied; null for what the host does not have, or has changed. */
async function copyShipped(
  from: string,
  to: string,
  digest: () => Promise<string | null>,
): Promise<Stats | null> {
  try {
    const info = await lstat(from);
    await makeDirectory(dirname(to), 0o755);
    if (info.isDirectory()) {
      await mkdir(to, { recursive: true });
      await chmod(to, info.mode & 0o7777);
    } else if (info.isSymbolicLink()) await symlink(await readlink(from), to);
    else if (info.isFile() && (info.mode & 0o004) !== 0 && info.size <= MAX_FILE_BYTES) {
      const content = await readFile(from);
      if (createHash('md5').update(content).digest('hex') !== (await digest())) return null;
      await writeFile(to, content);
      await chmod(to, info.mode & 0o755);
    } else return null;
    return info;
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || code === 'EACCES' || code === 'EEXIST') return null;
    throw error;
  }
}

/** As the package recorded it (`*.md5sums`, with paths relative to the root); null if it did not. */
async function shippedDigest(info: string, list: string, path: string): Promise<string | null> {
  try {
    const sums = await readFile(join(info, `${list.slice(0, -LIST.length)}.md5sums`), 'utf8');
    const line = sums.split('\n').find((text) => text.slice(32) === `  ${path.slice(1)}`);
    return line?.slice(0, 32) ?? null;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return null;
    throw error;
  }
}
