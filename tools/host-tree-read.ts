import { constants } from 'node:fs';
import { lstat, open, opendir, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { TreeEntry } from '../src/engines/engine.ts';
import { SandboxError, systemErrorCode, throwIfCancelled } from '../src/shared/errors.ts';

const PERMISSION_BITS = 0o777;
/** Opening a fifo must not wait for its writer, and a link that appears after the look is not followed. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

export interface TreeReading {
  /** Real path of the file or directory. */
  root: string;
  /** Of a single file, instead of its own. */
  fileMode: number | null;
  excludes(path: string): boolean;
  /** Each run of bytes of a file that has been read. */
  onData(bytes: Buffer): void;
}

/**
 * A file or directory of this machine as a stream of entries, parents first, in constant memory. Symlinks are carried as
 * links and never followed; devices, fifos and sockets are left out.
 */
export async function* readHostTree(reading: TreeReading, signal: AbortSignal): AsyncGenerator<TreeEntry> {
  const stat = await lstat(reading.root);
  if (stat.isFile()) {
    yield* file(reading, '', reading.fileMode);
    return;
  }
  if (!stat.isDirectory()) {
    throw new SandboxError('invalid_argument', 'local_path is neither a file nor a directory.', {
      hint: 'Name a regular file or a directory.',
    });
  }
  yield directory('', stat.mode);
  yield* children(reading, '', signal);
}

async function* children(
  reading: TreeReading,
  parent: string,
  signal: AbortSignal,
): AsyncGenerator<TreeEntry> {
  const entries = await opendir(join(reading.root, parent)).catch((error) => passVanished(error, parent));
  if (entries === null) return;
  for await (const { name } of entries) {
    throwIfCancelled(signal);
    const path = parent === '' ? name : `${parent}/${name}`;
    if (reading.excludes(path)) continue;
    const at = join(reading.root, path);
    const stat = await lstat(at).catch((error) => passVanished(error, path));
    if (stat === null) continue;
    if (stat.isSymbolicLink()) {
      yield { path, type: 'symlink', mode: PERMISSION_BITS, linkTarget: await readlink(at), content: null };
    } else if (stat.isDirectory()) {
      yield directory(path, stat.mode);
      yield* children(reading, path, signal);
    } else if (stat.isFile()) {
      yield* file(reading, path, null);
    }
  }
}

function directory(path: string, mode: number): TreeEntry {
  return { path, type: 'directory', mode: mode & PERMISSION_BITS, linkTarget: null, content: null };
}

async function* file(reading: TreeReading, path: string, mode: number | null): AsyncGenerator<TreeEntry> {
  const handle = await open(join(reading.root, path), OPEN_FLAGS).catch((error) => passVanished(error, path));
  if (handle === null) return;
  const bytes = handle.createReadStream({ autoClose: false });
  try {
    const stat = await handle.stat();
    if (!stat.isFile()) return;
    const content = Readable.from(observed(bytes, reading.onData), { objectMode: false });
    yield { path, type: 'file', mode: mode ?? stat.mode & PERMISSION_BITS, linkTarget: null, content };
  } finally {
    // A consumer that stops early leaves the rest unread.
    bytes.destroy();
    await handle.close();
  }
}

async function* observed(
  bytes: AsyncIterable<Buffer>,
  onData: (bytes: Buffer) => void,
): AsyncGenerator<Buffer> {
  for await (const chunk of bytes) {
    onData(chunk);
    yield chunk;
  }
}

/** A tree that is worked in loses files while it is read; what may not be read has to be named, not skipped. */
function passVanished(error: unknown, path: string): null {
  const code = systemErrorCode(error);
  if (code === 'ENOENT' || code === 'ELOOP' || code === 'ENXIO') return null;
  if (code !== 'EACCES' && code !== 'EPERM') throw error;
  throw new SandboxError('permission', `The server may not read ${JSON.stringify(path)} below local_path.`, {
    hint: 'Leave it out with exclude, and call sandbox_upload_file again.',
    details: { path },
    cause: error,
  });
}
