/** The files of a folder that its sandbox may see, found through descriptors: no link is followed. */
import { isUtf8 } from 'node:buffer';
import type { BigIntStats } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { systemErrorCode } from '../../../shared/errors.ts';
import type { HostDirectory } from '../../../shared/fs/host-directory.ts';
import type { HiddenRules } from '../hidden-files.ts';
import { stampOf } from '../stamp.ts';
import { isInVolume } from './bounded-survey.ts';
import type { UploadCount } from './upload-limits.ts';

export interface VisibleFile {
  /** Relative to the folder. */
  path: string;
  type: 'file' | 'directory' | 'symlink';
  /** Permission bits. */
  mode: number;
  sizeBytes: number;
  mtimeMs: number;
  stamp: string;
}

/** What is kept of a file: there may be many. */
export function visibleFile(path: string, type: VisibleFile['type'], stats: BigIntStats): VisibleFile {
  const { mode, size, mtimeNs } = stats;
  const mtimeMs = Number(mtimeNs / 1_000_000n);
  return { path, type, mode: Number(mode & 0o777n), sizeBytes: Number(size), mtimeMs, stamp: stampOf(stats) };
}

/** How many entries of a directory are looked at together. */
const TOGETHER = 32;
const MAX_DEPTH = 200;

export interface Walk {
  rules: HiddenRules;
  count: UploadCount;
  /** A directory to leave out: the server's own. */
  isOwn(stats: { dev: number; ino: number }): boolean;
  /** Paths to leave out: volumes cover what is there. */
  volumes: readonly string[];
  /** Called for each entry that this process cannot read, that is too deep, or whose name is not UTF-8. */
  onUnreadable(): void;
  signal: AbortSignal;
}

/**
 * Lists them, parents first. Devices, fifos and sockets, names that are not UTF-8 and what this process may not
 * read are left out.
 *
 * @throws `limit_exceeded` of the count
 */
export async function visibleFiles(folder: HostDirectory, walk: Walk): Promise<VisibleFile[]> {
  const found: VisibleFile[] = [];
  await addChildren(folder, '', walk, found, 0);
  return found;
}

async function addChildren(
  directory: HostDirectory,
  parent: string,
  walk: Walk,
  found: VisibleFile[],
  depth: number,
): Promise<void> {
  const children = await readChildren(directory, parent, walk);
  for (let at = 0; at < children.length; at += TOGETHER) {
    walk.signal.throwIfAborted();
    const some = children.slice(at, at + TOGETHER);
    const stats = await Promise.all(some.map(({ name }) => statsOf(directory, name, walk)));
    for (const [index, { name, path }] of some.entries()) {
      const file = visible(path, stats[index] ?? null);
      if (file === null || isInVolume(path, walk.volumes)) continue;
      if (walk.rules.hides(path, file.type === 'directory')) continue;
      if (file.type !== 'directory') {
        walk.count.add(file.sizeBytes);
        found.push(file);
      } else if (depth < MAX_DEPTH) {
        await addDirectory(directory, name, file, walk, found, depth);
      } else walk.onUnreadable();
    }
  }
}

async function addDirectory(
  parent: HostDirectory,
  name: string,
  file: VisibleFile,
  walk: Walk,
  found: VisibleFile[],
  depth: number,
): Promise<void> {
  const directory = await parent.directory(name).catch(passUnreadable(walk));
  if (directory === null) return;
  try {
    if (walk.isOwn(directory.stats)) return;
    walk.count.add(0);
    found.push(file);
    await addChildren(directory, file.path, walk, found, depth + 1);
  } finally {
    await directory.close();
  }
}

/** Names as bytes: decoding one that is not UTF-8 would yield the name of another file. */
async function readChildren(
  directory: HostDirectory,
  parent: string,
  walk: Walk,
): Promise<{ name: string; path: string }[]> {
  walk.signal.throwIfAborted();
  const names = (await readdir(directory.self, { encoding: 'buffer' }).catch(passUnreadable(walk))) ?? [];
  const decodable = names.filter((bytes) => isUtf8(bytes));
  for (let left = names.length - decodable.length; left > 0; left -= 1) walk.onUnreadable();
  return decodable
    .map((bytes) => bytes.toString('utf8'))
    .sort()
    .map((name) => ({ name, path: parent === '' ? name : `${parent}/${name}` }));
}

function statsOf(directory: HostDirectory, name: string, walk: Walk): Promise<BigIntStats | null> {
  return lstat(directory.at(name), { bigint: true }).catch(passUnreadable(walk));
}

function visible(path: string, stats: BigIntStats | null): VisibleFile | null {
  if (stats === null) return null;
  if (stats.isFile()) return visibleFile(path, 'file', stats);
  if (stats.isDirectory()) return visibleFile(path, 'directory', stats);
  return stats.isSymbolicLink() ? visibleFile(path, 'symlink', stats) : null;
}

/** In a folder that is in use, files vanish while it is read. */
function passUnreadable({ onUnreadable }: Walk): (error: unknown) => null {
  return (error) => {
    const code = systemErrorCode(error) ?? '';
    if (['EACCES', 'EPERM'].includes(code)) onUnreadable();
    else if (!['ENOENT', 'ENOTDIR', 'ELOOP'].includes(code)) throw error;
    return null;
  };
}
