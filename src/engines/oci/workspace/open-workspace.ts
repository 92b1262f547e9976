/** The two sides of a copy-on-write workspace, held open: the folder, and the sandbox's upper layer. */
import { constants } from 'node:fs';
import { type FileHandle, open, readFile, readlink } from 'node:fs/promises';
import { join } from 'node:path';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';
import { fillBuffer } from '../../../shared/fs/fill-buffer.ts';
import { HostDirectory } from '../../../shared/fs/host-directory.ts';
import type { Host } from '../host/host.ts';
import type { SandboxRecord, WorkspaceRecord } from '../state/sandbox-record.ts';
import { reopenWorkspaceFolder } from './folder.ts';
import { FolderCursor } from './folder-cursor.ts';

export interface OpenWorkspace {
  record: WorkspaceRecord;
  upperPath: string;
  folder: FolderCursor;
  upper: FolderCursor;
  /** Stamps of files as an earlier apply left them, by path. */
  applied: Record<string, string>;
}

/** @throws `conflict` unless the sandbox runs and has a copy-on-write workspace whose folder still exists */
export async function withWorkspace<Result>(
  host: Host,
  { sandboxId, status, workspace }: SandboxRecord,
  work: (open: OpenWorkspace) => Promise<Result>,
): Promise<Result> {
  const refuse = (message: string, hint: string) =>
    new SandboxError('conflict', message, { hint, details: { sandbox_id: sandboxId } });
  if (workspace === null) {
    throw refuse(`Sandbox ${sandboxId} has no workspace.`, 'Call sandbox_create with workspace.');
  }
  if (workspace.mode !== 'copy-on-write') {
    throw refuse(`The workspace is ${workspace.mode}: it keeps no changes.`, 'Nothing needs to be applied.');
  }
  if (status !== 'running') {
    throw refuse(`Sandbox ${sandboxId} is ${status}; its changes are gone.`, 'Call sandbox_create.');
  }
  const paths = host.layout.sandbox(sandboxId);
  const upperPath = join(paths.workspace, 'upper');
  const folder = await reopenWorkspaceFolder(workspace.localPath, workspace.folder);
  try {
    const upper = await HostDirectory.open(upperPath);
    const sides = { folder: new FolderCursor(folder), upper: new FolderCursor(upper) };
    try {
      const applied = await readApplied(paths.applied);
      return await work({ record: workspace, upperPath, ...sides, applied });
    } finally {
      await Promise.all([sides.folder.close(), sides.upper.close(), upper.close()]);
    }
  } finally {
    await folder.close();
  }
}

async function readApplied(path: string): Promise<Record<string, string>> {
  try {
    const stored: unknown = JSON.parse(await readFile(path, 'utf8'));
    const entries = Object.entries(Object(stored)).map(([name, stamp]) => [name, String(stamp)]);
    return Object.assign(Object.create(null), Object.fromEntries(entries));
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return Object.create(null);
    throw error;
  }
}

/** Opens a regular file without following a link; null for anything else. */
export async function openRegular(cursor: FolderCursor, path: string): Promise<FileHandle | null> {
  const entry = await cursor.entry(path);
  if (entry === null) return null;
  let file: FileHandle;
  try {
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    file = await open(entry.parent.at(entry.name), flags);
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ELOOP' || code === 'ENXIO') return null;
    throw error;
  }
  if ((await file.stat()).isFile()) return file;
  await file.close();
  return null;
}

/** At most `limit` bytes of a file, or the target of a link; null for anything else. */
export async function readEntry(cursor: FolderCursor, path: string, limit: number): Promise<Buffer | null> {
  const file = await openRegular(cursor, path);
  if (file === null) {
    const entry = await cursor.entry(path);
    return entry === null ? null : readlink(entry.parent.at(entry.name), 'buffer').catch(() => null);
  }
  try {
    return await fillBuffer(file, Buffer.allocUnsafe(Math.min(limit, (await file.stat()).size)));
  } finally {
    await file.close();
  }
}
