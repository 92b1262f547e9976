import { isUtf8 } from 'node:buffer';
import { constants, type Stats } from 'node:fs';
import { lstat, open, readdir, readlink } from 'node:fs/promises';
import { Readable } from 'node:stream';
import type { TreeEntry } from '../../src/engines/engine.ts';
import { SandboxError, systemErrorCode, throwIfCancelled } from '../../src/shared/errors.ts';
import type { HostDirectory } from '../../src/shared/fs/host-directory.ts';
import { decodeUtf8 } from '../../src/shared/text/utf8.ts';
import { prefetch } from '../common/prefetch.ts';
import type { LocalEntry } from './local-path.ts';
import type { SkippedEntries } from './skipped-entries.ts';

const PERMISSION_BITS = 0o777;
/** The size of one read from a file. */
const READ_BYTES = 524_288;
/**
 * How many entries of a directory are examined ahead of their turn, and the size up to which files are read
 * ahead.
 */
const PREFETCHED_ENTRIES = 8;
const SMALL_BYTES = 65_536;
/** The longest path of the host's system calls; a tree below it could not be written anywhere. */
const MAX_PATH_BYTES = 4_095;
/** Opening a fifo must not wait for a writer, and a link that appears after the check is not followed. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

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

/**
 * A file or directory of this machine as a stream of entries, parents first; memory holds the names of one
 * directory per level. Symlinks are sent as links and never followed. Devices, fifos and sockets, names that
 * are not UTF-8 and the server's own files are skipped and reported.
 *
 * @throws `invalid_argument` for a root that is neither a file nor a directory, `permission` for unreadable
 *   files
 */
export async function* readHostTree(reading: TreeReading, signal: AbortSignal): AsyncGenerator<TreeEntry> {
  const { parent, name, path } = reading.root;
  const stat = await lstat(parent.at(name));
  if (stat.isFile()) {
    yield* file(reading, parent, '', name, reading.fileMode);
    return;
  }
  if (!stat.isDirectory()) {
    throw new SandboxError(
      'invalid_argument',
      `local_path ${JSON.stringify(path)} is a ${kindOf(stat)}, neither a file nor a directory.`,
      {
        hint: 'Call sandbox_upload_file with a regular file or a directory.',
        details: { local_path: path, kind: kindOf(stat) },
      },
    );
  }
  yield* tree(reading, parent, '', name, signal);
}

/**
 * A directory and what is below it. It is open, and its names are looked up in it, until all of them have
 * been sent.
 */
async function* tree(
  reading: TreeReading,
  parent: HostDirectory,
  path: string,
  name: string,
  signal: AbortSignal,
): AsyncGenerator<TreeEntry> {
  const directory = await parent.directory(name).catch((error) => passUnreadable(reading, error, path));
  if (directory === null) return;
  try {
    const { stats } = directory;
    if (stats.dev === reading.stateDir?.dev && stats.ino === reading.stateDir.ino) {
      reading.skipped.add(path, "the server's own state directory");
      return;
    }
    yield directoryEntry(path, stats);
    yield* children(reading, directory, path, signal);
  } finally {
    await directory.close();
  }
}

async function* children(
  reading: TreeReading,
  directory: HostDirectory,
  parent: string,
  signal: AbortSignal,
): AsyncGenerator<TreeEntry> {
  // As bytes: decoding a name that is not UTF-8 would yield the name of another file, or of none.
  const names = await readdir(directory.self, { encoding: 'buffer' }).catch((error) =>
    passUnreadable(reading, error, parent),
  );
  const found = wanted(reading, parent, names ?? []);
  for await (const [{ path, name }, seen] of prefetch(
    found,
    ({ path, name }) => readEntry(reading, directory, path, name),
    PREFETCHED_ENTRIES,
  )) {
    throwIfCancelled(signal);
    if (seen !== null) yield* entry(reading, directory, path, name, seen, signal);
  }
}

/** The paths of these names; those that cannot be sent are reported in order. */
function* wanted(
  reading: TreeReading,
  parent: string,
  names: readonly Buffer[],
): Generator<{ path: string; name: string }> {
  for (const bytes of names) {
    const name = decodeUtf8(bytes);
    const path = parent === '' ? name : `${parent}/${name}`;
    if (reading.excludes(path)) continue;
    if (!isUtf8(bytes)) reading.skipped.add(path, 'its name is not UTF-8');
    else if (Buffer.byteLength(path) > MAX_PATH_BYTES) throw tooDeep();
    else yield { path, name };
  }
}

async function* entry(
  reading: TreeReading,
  parent: HostDirectory,
  path: string,
  name: string,
  { stat, small }: Seen,
  signal: AbortSignal,
): AsyncGenerator<TreeEntry> {
  if (stat.isSymbolicLink()) {
    yield* link(reading, parent, path, name);
  } else if (stat.isDirectory()) {
    yield* tree(reading, parent, path, name, signal);
  } else if (small !== null) {
    await reading.onData(small);
    const content = Readable.from([small]);
    yield { path, type: 'file', ...kept(stat), linkTarget: null, content };
  } else if (stat.isFile()) {
    yield* file(reading, parent, path, name, null);
  } else {
    reading.skipped.add(path, kindOf(stat));
  }
}

interface Seen {
  stat: Stats;
  /** The content of a file that is small enough to be read ahead. */
  small: Buffer | null;
}

/** Null for a file that has vanished or become something else meanwhile. */
async function readEntry(
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
function kindOf(stat: Stats): string {
  if (stat.isFIFO()) return 'fifo';
  if (stat.isSocket()) return 'socket';
  return stat.isSymbolicLink() ? 'symbolic link' : 'device';
}

function directoryEntry(path: string, stats: Stats): TreeEntry {
  return { path, type: 'directory', ...kept(stats), linkTarget: null, content: null };
}

function kept(stats: Stats): Pick<TreeEntry, 'mode' | 'mtimeMs'> {
  return { mode: stats.mode & PERMISSION_BITS, mtimeMs: stats.mtimeMs };
}

async function* file(
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
function passUnreadable({ skipped }: TreeReading, error: unknown, path: string): null {
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

function tooDeep(): SandboxError {
  return new SandboxError(
    'invalid_argument',
    `A path below local_path is longer than ${MAX_PATH_BYTES} bytes.`,
    {
      hint: 'Leave the directory out with exclude, or upload a part of it.',
    },
  );
}
