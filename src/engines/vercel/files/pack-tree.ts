/** A tree of files as a tar archive, packed as it is read. */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { addAbortSignal } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { HeaderData } from 'tar';
import { contentChunks } from '../../../shared/async/content-chunks.ts';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { temporaryName } from '../../../shared/fs/atomic-file.ts';
import { TAR_BLOCK_BYTES, tarHeader, tarPadding } from '../../../shared/fs/tar-header.ts';
import type { TreeEntry } from '../../engine.ts';

/**
 * An archive states a file's size before its content: larger files are spooled to disk until their size is
 * known.
 */
const IN_MEMORY_BYTES = 1_048_576;

export interface Counted {
  files: number;
  bytes: number;
}

/**
 * The archive of these entries, below `root`.
 *
 * @param spoolDir where large files are spooled; created if missing
 * @param counted is increased by each file that was packed
 */
export async function* packTree(
  spoolDir: string,
  entries: AsyncIterable<TreeEntry>,
  counted: Counted,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const now = Math.floor(Date.now() / 1_000) * 1_000;
  for await (const entry of entries) {
    throwIfCancelled(signal);
    const header: HeaderData = {
      path: entry.path === '' ? 'root' : `root/${entry.path}`,
      mode: entry.mode,
      uid: 0,
      gid: 0,
      size: 0,
      mtime: new Date(Math.max(0, Math.round(entry.mtimeMs ?? now))),
    };
    if (entry.type === 'directory') yield tarHeader({ ...header, type: 'Directory' });
    else if (entry.type === 'symlink') {
      yield tarHeader({ ...header, type: 'SymbolicLink', linkpath: entry.linkTarget ?? '' });
    } else {
      yield* packFile(spoolDir, { ...header, type: 'File' }, entry, counted, signal);
      counted.files += 1;
    }
  }
  yield Buffer.alloc(2 * TAR_BLOCK_BYTES);
}

async function* packFile(
  spoolDir: string,
  header: HeaderData,
  { path, content }: TreeEntry,
  counted: Counted,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  if (content === null) throw new SandboxError('internal', `The file "${path}" of a tree has no content.`);
  // A source that has stalled is abandoned.
  if (!Buffer.isBuffer(content)) addAbortSignal(signal, content);
  const source = contentChunks(content);
  const start: Buffer[] = [];
  let size = 0;
  while (size <= IN_MEMORY_BYTES) {
    const next = await source.next();
    if (next.done === true) {
      counted.bytes += size;
      yield* [tarHeader({ ...header, size }), ...start, tarPadding(size)];
      return;
    }
    start.push(next.value);
    size += next.value.length;
  }
  const total = yield* packSpooled(spoolDir, header, start, source, signal);
  counted.bytes += total;
}

/** A large file: its size is known once it is spooled to disk. Returns the size. */
async function* packSpooled(
  spoolDir: string,
  header: HeaderData,
  start: readonly Buffer[],
  rest: AsyncIterable<Buffer>,
  signal: AbortSignal,
): AsyncGenerator<Buffer, number> {
  await mkdir(spoolDir, { recursive: true, mode: 0o700 });
  const path = temporaryName(join(spoolDir, 'file'));
  let size = 0;
  try {
    const all = async function* () {
      for (const bytes of start) {
        size += bytes.length;
        yield bytes;
      }
      for await (const bytes of rest) {
        size += bytes.length;
        yield bytes;
      }
    };
    await pipeline(all(), createWriteStream(path, { flags: 'wx', mode: 0o600 }), { signal });
    yield tarHeader({ ...header, size });
    yield* contentChunks(createReadStream(path, { signal }));
    yield tarPadding(size);
    return size;
  } finally {
    await rm(path, { force: true });
  }
}
