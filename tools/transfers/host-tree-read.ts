import { isUtf8 } from 'node:buffer';
import { lstat, readdir } from 'node:fs/promises';
import type { TreeEntry } from '../../src/engines/engine.ts';
import { SandboxError, throwIfCancelled } from '../../src/shared/errors.ts';
import type { HostDirectory } from '../../src/shared/fs/host-directory.ts';
import { decodeUtf8 } from '../../src/shared/text/utf8.ts';
import { prefetch } from '../common/prefetch.ts';
import { FileThread, type SmallFile } from './file-thread.ts';
import {
  directoryEntry,
  entry,
  file,
  kindOf,
  type Named,
  OPEN_FLAGS,
  passUnreadable,
  readEntry,
  smallFile,
  type TreeReading,
} from './host-entry-read.ts';

/** How many entries of a directory are examined ahead of their turn. */
const PREFETCHED_ENTRIES = 8;
/**
 * How many names are given to the thread at a time, and the number of entries from which it is worth its
 * start-up time.
 */
const BATCH = 64;
const MANY_ENTRIES = 64;
/** The longest path of the host's system calls; a tree below it could not be written anywhere. */
const MAX_PATH_BYTES = 4_095;

/**
 * A file or directory of this machine as a stream of entries, parents first; memory holds the names of one
 * directory per level. Symlinks are sent as links and never followed. Devices, fifos and sockets, names that
 * are not UTF-8 and the server's own files are skipped and reported.
 *
 * @throws `invalid_argument` for a root that is neither a file nor a directory, `permission` for unreadable
 *   files
 */
export async function* readHostTree(options: TreeReading, signal: AbortSignal): AsyncGenerator<TreeEntry> {
  const reading: Walk = { ...options, signal, thread: new FileThread(), entries: 0 };
  try {
    yield* fromRoot(reading);
  } finally {
    await reading.thread.close();
  }
}

interface Walk extends TreeReading {
  readonly signal: AbortSignal;
  /** Reads small files once there are many entries. */
  readonly thread: FileThread;
  /** Names of entries so far. */
  entries: number;
}

async function* fromRoot(reading: Walk): AsyncGenerator<TreeEntry> {
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
  yield* tree(reading, parent, '', name);
}

/**
 * A directory and what is below it. It is open, and its names are looked up in it, until all of them have
 * been sent.
 */
async function* tree(
  reading: Walk,
  parent: HostDirectory,
  path: string,
  name: string,
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
    yield* children(reading, directory, path);
  } finally {
    await directory.close();
  }
}

/** Directories come last: nothing else is held in memory while what is below them is read. */
async function* children(reading: Walk, directory: HostDirectory, parent: string): AsyncGenerator<TreeEntry> {
  // As bytes: decoding a name that is not UTF-8 would yield the name of another file, or of none.
  const names = await readdir(directory.self, { encoding: 'buffer' }).catch((error) =>
    passUnreadable(reading, error, parent),
  );
  const directories: Named[] = [];
  const batches = inBatches(wanted(reading, parent, names ?? []));
  const read = (batch: Named[]) => readBatch(reading, directory, batch);
  for await (const [batch, files] of prefetch(batches, read, 2)) {
    const others: Named[] = [];
    for (const [index, named] of batch.entries()) {
      throwIfCancelled(reading.signal);
      const file = files.get(index);
      if (file === undefined) others.push(named);
      else yield smallFile(reading, named.path, file, file.content);
    }
    const examine = ({ path, name }: Named) => readEntry(reading, directory, path, name);
    for await (const [named, seen] of prefetch(others, examine, PREFETCHED_ENTRIES)) {
      throwIfCancelled(reading.signal);
      if (seen?.stat.isDirectory()) directories.push(named);
      else if (seen !== null) yield* entry(reading, directory, named, seen);
    }
  }
  for (const { path, name } of directories) yield* tree(reading, directory, path, name);
}

function* inBatches(found: Iterable<Named>): Generator<Named[]> {
  let batch: Named[] = [];
  for (const named of found) {
    batch.push(named);
    if (batch.length < BATCH) continue;
    yield batch;
    batch = [];
  }
  if (batch.length > 0) yield batch;
}

/** The small files of a batch, by their index, or none of a tree that has not many entries so far. */
async function readBatch(
  reading: Walk,
  directory: HostDirectory,
  batch: readonly Named[],
): Promise<ReadonlyMap<number, SmallFile>> {
  const isMany = reading.entries >= MANY_ENTRIES;
  reading.entries += batch.length;
  if (!isMany) return new Map();
  return reading.thread.read(
    batch.map(({ name }) => directory.at(name)),
    OPEN_FLAGS,
  );
}

/** The paths of these names; those that cannot be sent are reported in order. */
function* wanted(reading: TreeReading, parent: string, names: readonly Buffer[]): Generator<Named> {
  for (const bytes of names) {
    const name = decodeUtf8(bytes);
    const path = parent === '' ? name : `${parent}/${name}`;
    if (reading.excludes(path)) continue;
    if (!isUtf8(bytes)) reading.skipped.add(path, 'its name is not UTF-8');
    else if (Buffer.byteLength(path) > MAX_PATH_BYTES) throw tooDeep();
    else yield { path, name };
  }
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
