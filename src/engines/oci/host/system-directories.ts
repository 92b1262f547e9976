/** Which host directories a sandbox sees, and which top-level directories are its own. */
import { lstat, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '../../../shared/errors.ts';

/** Writable, and empty in a new sandbox. */
export const FRESH_DIRECTORIES = ['home', 'mnt', 'opt', 'root', 'srv', 'tmp', 'var', 'vercel'] as const;
/** tmpfs or kernel file systems in every sandbox. */
export const MOUNT_POINTS = ['dev', 'proc', 'run', 'sys'];
/** Directories of programs and libraries, or links to them on hosts with a merged /usr. */
const SYSTEM_NAMES = ['usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];

/** dpkg's database of installed packages (dpkg(1), `--admindir`). */
export const DPKG_DATABASE = 'var/lib/dpkg';
/** The agent's file name in the sandbox's root directory. */
export const AGENT_NAME = '.agent';

/** True for a top-level directory that is a tmpfs or kernel file system in every sandbox. */
export function isMountPoint(name: string): boolean {
  return MOUNT_POINTS.includes(name);
}

export interface SystemDirectories {
  /** Real directories of the host, which become read-only lower layers. */
  directories: string[];
  /** Links such as `bin` → `usr/bin`. */
  links: { name: string; target: string }[];
  /** Whether the host has a dpkg database. */
  dpkg: boolean;
}

async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory();
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || systemErrorCode(error) === 'ENOTDIR') return false;
    throw error;
  }
}

/** Finds the host's system directories, which sandboxes see. */
export async function findSystemDirectories(root = '/'): Promise<SystemDirectories> {
  const found: SystemDirectories = {
    directories: [],
    links: [],
    dpkg: await isDirectory(join(root, DPKG_DATABASE)),
  };
  for (const name of SYSTEM_NAMES) {
    try {
      const info = await lstat(join(root, name));
      if (info.isSymbolicLink()) found.links.push({ name, target: await readlink(join(root, name)) });
      else if (info.isDirectory()) found.directories.push(name);
    } catch (error) {
      if (systemErrorCode(error) !== 'ENOENT') throw error;
    }
  }
  return found;
}
