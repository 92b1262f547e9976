/** What a sandbox sees of the host's system directories, and the directories that it has of its own. */
import { lstat, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { systemErrorCode } from '../../../shared/errors.ts';

/** Starts empty in every sandbox, writable. */
export const FRESH_DIRECTORIES = ['home', 'mnt', 'opt', 'root', 'srv', 'var', 'vercel'] as const;
/** In memory or provided by the kernel in every sandbox. */
export const MOUNT_POINTS = ['dev', 'proc', 'run', 'sys', 'tmp'];
/** Where programs and libraries are, or links to where they are on hosts with a merged /usr. */
const SYSTEM_NAMES = ['usr', 'bin', 'sbin', 'lib', 'lib32', 'lib64', 'libx32'];

/** Where dpkg keeps what is installed (dpkg(1), `--admindir`). */
export const DPKG_DATABASE = 'var/lib/dpkg';
/** The agent's place inside. */
export const AGENT_NAME = '.agent';

/** True for a top-level directory that every sandbox has in memory or from the kernel. */
export function isMountPoint(name: string): boolean {
  return MOUNT_POINTS.includes(name);
}

export interface SystemDirectories {
  /** Real directories of the host, which become read-only lower layers. */
  directories: string[];
  /** Links such as `bin` → `usr/bin`. */
  links: { name: string; target: string }[];
  /** Whether there is a database of dpkg, which tells what of `/usr` came from which package. */
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

/** What of the host's system directories a sandbox sees. */
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
