/** Sends the visible files of a folder to a sandbox, and notes what was sent. */
import { createHash, type Hash } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { systemErrorCode } from '../../../shared/errors.ts';
import type { TreeEntry } from '../../engine.ts';
import type { FolderCursor } from '../folder-cursor.ts';
import type { Manifest, ManifestEntry } from './manifest.ts';
import type { UploadCount } from './upload-limits.ts';
import type { UploadProgress } from './upload-progress.ts';
import { type VisibleFile, visibleFile } from './visible-files.ts';

const CHUNK = 524_288;
/** Up to this size a file needs no stream. */
const SMALL = 65_536;

/**
 * The entries to write. What has vanished since it was listed is left out; a file that grows is sent up to the
 * size that it has when it is opened.
 *
 * @param manifest receives what was sent
 * @param sent counts it: files may have grown since they were listed
 */
export async function* uploadEntries(
  folder: FolderCursor,
  files: readonly VisibleFile[],
  manifest: Manifest,
  progress: UploadProgress,
  sent: UploadCount,
  signal: AbortSignal,
): AsyncGenerator<TreeEntry> {
  const root = await folder.stats('.');
  const rootMode = root === null ? 0o755 : Number(root.mode & 0o777n);
  yield { path: '', type: 'directory', mode: rootMode, linkTarget: null, content: null };
  for (const file of files) {
    signal.throwIfAborted();
    if (file.type === 'file') yield* fileEntry(folder, file, manifest, progress, sent, signal);
    else if (file.type === 'symlink') yield* linkEntry(folder, file, manifest);
    else {
      const entry = noted(file, null);
      manifest.set(file.path, entry);
      const { path, mode, mtimeMs } = entry;
      yield { path, type: 'directory', mode, mtimeMs, linkTarget: null, content: null };
    }
    progress.addEntry();
  }
}

function noted(
  { path, type, mode, sizeBytes, mtimeMs, stamp }: VisibleFile,
  content: string | null,
): ManifestEntry {
  return {
    path,
    type,
    mode,
    sizeBytes,
    mtimeMs,
    content,
    host: type === 'directory' ? null : stamp,
    guest: null,
  };
}

async function* linkEntry(
  folder: FolderCursor,
  file: VisibleFile,
  manifest: Manifest,
): AsyncGenerator<TreeEntry> {
  const target = await folder.target(file.path);
  if (target === null) return;
  manifest.set(file.path, noted(file, target));
  yield { path: file.path, type: 'symlink', mode: 0o777, linkTarget: target, content: null };
}

async function* fileEntry(
  folder: FolderCursor,
  { path }: VisibleFile,
  manifest: Manifest,
  progress: UploadProgress,
  sent: UploadCount,
  signal: AbortSignal,
): AsyncGenerator<TreeEntry> {
  const handle = await openReadable(folder, path);
  if (handle === null) return;
  try {
    const stats = await handle.stat({ bigint: true });
    const entry = noted(visibleFile(path, 'file', stats), null);
    sent.add(entry.sizeBytes);
    const hash = createHash('sha256');
    const pieces = contentOf(handle, entry.sizeBytes, hash, progress, signal);
    const content =
      entry.sizeBytes <= SMALL ? await whole(pieces) : Readable.from(pieces, { objectMode: false });
    yield { path, type: 'file', mode: entry.mode, mtimeMs: entry.mtimeMs, linkTarget: null, content };
    manifest.set(path, { ...entry, content: hash.digest('hex') });
  } finally {
    await handle.close();
  }
}

async function whole(pieces: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const piece of pieces) all.push(piece);
  return Buffer.concat(all);
}

/** Null for a file that has gone, or that this process may not read. */
async function openReadable(folder: FolderCursor, path: string): Promise<FileHandle | null> {
  try {
    return await folder.open(path);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'EACCES' || code === 'EPERM') return null;
    throw error;
  }
}

async function* contentOf(
  handle: FileHandle,
  size: number,
  hash: Hash,
  progress: UploadProgress,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  for (let at = 0; at < size; ) {
    signal.throwIfAborted();
    const buffer = Buffer.allocUnsafe(Math.min(CHUNK, size - at));
    const { bytesRead } = await handle.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) return;
    const chunk = buffer.subarray(0, bytesRead);
    hash.update(chunk);
    at += bytesRead;
    progress.addBytes(bytesRead);
    yield chunk;
  }
}
