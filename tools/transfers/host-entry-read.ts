/** Files and links of this machine as entries of a tree. No link is followed. */
import { isUtf8 } from 'node:buffer';
import { constants, type Stats } from 'node:fs';
import { lstat, open, readlink } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { TreeEntry } from '../../src/engines/engine.ts';
import { SandboxError, systemErrorCode } from '../../src/shared/errors.ts';
import type { HostDirectory } from '../../src/shared/fs/host-directory.ts';
import { decodeUtf8 } from '../../src/shared/text/utf8.ts';
import { SMALL_BYTES } from './file-thread.ts';
import type { LocalEntry } from './local-path.ts';
import type { SkippedEntries } from './skipped-entries.ts';

const PERMISSION_BITS = 0o777;
/** The size of one read from a file. */
const READ_BYTES = 524_288;
/** Opening a fifo must not wait for a writer, and a link that appears after the check is not followed. */
export const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export interface TreeReading {
  /** The file or directory. */
  root: LocalEntry;
  /** Overrides the mode of a single file. */
  fileMode: number | null;
  excludes(path: string): boolean;
  /** The directory of the server's own files, which never leave this machine; null if there is none. */
  stateDir: Pick<Stats, 'dev' | 'ino'> | null;
  /** Receives entries that are skipped, except excluded ones. */
  skipped: SkippedEntries;
  /** Called with each chunk read from a file; reading continues once it has resolved. */
  onData(bytes: Buffer): Promise<void> | void;
}

export interface Named {
  /** From the root of the tree. */
  path: string;
  name: string;
}

export async function* entry(
  reading: TreeReading,
  parent: HostDirectory,
  { path, name }: Named,
  { stat, small }: Seen,
): AsyncGenerator<TreeEntry> {
  if (stat.isSymbolicLink()) {
    yield* link(reading, parent, path, name);
  } else if (small !== null) {
    yield smallFile(reading, path, stat, small);
  } else if (stat.isFile()) {
    yield* file(reading, parent, path, name, null);
  } else {
    reading.skipped.add(path, kindOf(stat));
  }
}

export async function smallFile(
  reading: TreeReading,
  path: string,
  stats: Kept,
  content: Buffer,
): Promise<TreeEntry> {
  await reading.onData(content);
  return { path, type: 'file', ...kept(stats), linkTarget: null, content };
}

interface Seen {
  stat: Stats;
  /** The content of a file that is small enough to be read ahead. */
  small: Buffer | null;
}

/** Null for a file that has vanished or become something else meanwhile. */
export async function readEntry(
  reading: TreeReading,
  parent: HostDirectory,
  path: string,
  name: string,
): Promise<Seen | null> {
  const at = parent.at(name);
  const stat = await lstat(at).catch((error) => passUnreadable(reading, error, path));
  if (stat === null || !stat.isFile() || stat.size > SMALL_BYTES) return stat && { stat, small: null };
  const handle = await open(at, OPEN_FLAGS).catch((error) => passUnreadable(reading, error, path));
  if (handle === null) return null;
  try {
    const opened = await handle.stat();
    if (!opened.isFile()) return null;
    // Reads one byte more than the size: a file that has grown is then read as a large one.
    const bytes = Buffer.allocUnsafe(Math.min(opened.size, SMALL_BYTES) + 1);
    const { bytesRead } = await handle.read(bytes, 0, bytes.length, 0);
    return { stat: opened, small: bytesRead < bytes.length ? bytes.subarray(0, bytesRead) : null };
  } finally {
    await handle.close();
  }
}

async function* link(
  reading: TreeReading,
  parent: HostDirectory,
  path: string,
  name: string,
): AsyncGenerator<TreeEntry> {
  const target = await readlink(parent.at(name), { encoding: 'buffer' }).catch((error) =>
    passUnreadable(reading, error, path),
  );
  if (target === null) return;
  if (isUtf8(target)) {
    yield { path, type: 'symlink', mode: PERMISSION_BITS, linkTarget: decodeUtf8(target), content: null };
  } else {
    reading.skipped.add(path, 'a link whose target is not UTF-8');
  }
}

/** The kind of an entry that cannot be sent. */
export function kindOf(stat: Stats): string {
  if (stat.isFIFO()) return 'fifo';
  if (stat.isSocket()) return 'socket';
  return stat.isSymbolicLink() ? 'symbolic link' : 'device';
}

export function directoryEntry(path: string, stats: Stats): TreeEntry {
  return { path, type: 'directory', ...kept(stats), linkTarget: null, content: null };
}

/** What is kept of a file or directory. */
interface Kept {
  mode: number;
  mtimeMs: number | undefined;
}

function kept(stats: Kept): Pick<TreeEntry, 'mode' | 'mtimeMs'> {
  return { mode: stats.mode & PERMISSION_BITS, mtimeMs: stats.mtimeMs };
}

export async function* file(
  reading: TreeReading,
  parent: HostDirectory,
  path: string,
  name: string,
  mode: number | null,
): AsyncGenerator<TreeEntry> {
  const handle = await open(parent.at(name), OPEN_FLAGS).catch((error) =>
    passUnreadable(reading, error, path),
  );
  if (handle === null) return;
  let bytes: Readable | null = null;
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) return;
    bytes = handle.createReadStream({ autoClose: false, highWaterMark: READ_BYTES });
    const content = Readable.from(observed(bytes, reading.onData));
    yield { path, type: 'file', ...kept(stat), ...(mode !== null && { mode }), linkTarget: null, content };
  } finally {
    // A consumer that stops early leaves the rest unread.
    bytes?.destroy();
    await handle.close();
  }
}

async function* observed(
  bytes: AsyncIterable<Buffer>,
  onData: (bytes: Buffer) => Promise<void> | void,
): AsyncGenerator<Buffer> {
  for await (const chunk of bytes) {
    await onData(chunk);
    yield chunk;
  }
}

/**
 * In a tree that is in use, files vanish while it is read. What may not be read is skipped and listed, except
 * the root.
 */
export function passUnreadable({ skipped }: TreeReading, error: unknown, path: string): null {
  const code = systemErrorCode(error);
  if (code === 'ENOENT' || code === 'ELOOP' || code === 'ENXIO' || code === 'ENOTDIR' || code === 'EINVAL')
    return null;
  if (code !== 'EACCES' && code !== 'EPERM') throw error;
  if (path !== '') {
    skipped.add(path, 'permission denied');
    return null;
  }
  throw new SandboxError('permission', 'The server may not read local_path.', {
    hint: 'Upload another file or directory, or have the operator grant access to this one.',
    cause: error,
  });
}
