import { lstat, rmdir, stat } from 'node:fs/promises';
import { basename, join, posix } from 'node:path';
import type { FileStat, TreeEntry } from '../../src/engines/engine.ts';
import type { SandboxFiles, TransferResult } from '../../src/registry/types.ts';
import { SandboxError, systemErrorCode } from '../../src/shared/errors.ts';
import type { HostEntry } from '../../src/shared/fs/host-directory.ts';
import { type Sha256, sha256 } from '../../src/shared/fs/sha256.ts';
import { excluder } from './exclude.ts';
import type { TreeReading } from './host-entry-read.ts';
import { hostError } from './host-error.ts';
import type { Overwrite } from './host-tree-place.ts';
import { readHostTree } from './host-tree-read.ts';
import { writeHostTree } from './host-tree-write.ts';
import {
  existingLocalPath,
  type LocalBounds,
  type LocalEntry,
  newLocalPath,
  openLocal,
  pathInAllowed,
  realStateDir,
} from './local-path.ts';
import { SkippedEntries } from './skipped-entries.ts';

/** Reports files and bytes transferred. */
type Report = (files: number, bytes: number) => void;

/** What a transfer needs of a sandbox. */
interface RunningSandbox<Methods extends keyof SandboxFiles> {
  requireRunning(signal: AbortSignal): Promise<unknown>;
  readonly files: Pick<SandboxFiles, Methods>;
}

export interface Download {
  localPath: string;
  remotePath: string;
  cwd: string | null;
  createParents: boolean;
  overwrite: Overwrite;
}

/**
 * Downloads a file or directory, all of it or nothing. `note` records the staging path first, for clean-up if
 * this process dies.
 */
export async function download(
  handle: RunningSandbox<'stat' | 'readTree'>,
  request: Download,
  bounds: LocalBounds,
  signal: AbortSignal,
  report: Report,
  note: (staging: string) => Promise<void>,
): Promise<TransferResult> {
  const { files } = handle;
  // Refused before the sandbox is asked.
  await newLocalPath(await localTarget(request, null, bounds), bounds);
  await handle.requireRunning(signal);
  const source = await files.stat(request.remotePath, request.cwd, signal);
  if (source === null) {
    throw new SandboxError('not_found', `remote_path ${JSON.stringify(request.remotePath)} does not exist.`, {
      hint: 'List the directory with sandbox_run_command cmd "ls", then call sandbox_download_file again.',
      details: { remote_path: request.remotePath },
    });
  }
  const localPath = await localTarget(request, source, bounds);
  const skipped = new SkippedEntries();
  const made: HostEntry[] = [];
  let target: LocalEntry | null = null;
  try {
    target = await openTarget(localPath, request.createParents, bounds, made);
    const entries = files.readTree(request.remotePath, request.cwd, signal, (path, reason) =>
      skipped.add(path, reason),
    );
    const written = await writeHostTree(target, entries, signal, {
      overwrite: request.overwrite,
      skipped,
      report,
      note,
      expectedBytes: source.sizeBytes,
      pathInProject: pathInAllowed(target.path, bounds),
    });
    return {
      localPath: target.path,
      remotePath: source.path,
      files: written.files,
      bytes: written.bytes,
      sha256: written.sha256,
      skipped: written.skipped.count,
      skippedPaths: written.skipped.first,
      executesOnHost: written.executed.paths,
    };
  } catch (error) {
    await unmakeParents(made);
    throw hostError(request.localPath, error);
  } finally {
    await target?.parent.close();
    for (const { parent } of made) await parent.close();
  }
}

/**
 * Where a download goes: into `local_path` if that ends in a slash, or if it is a directory and the source is
 * a file. With `source` null the source counts as a file.
 */
async function localTarget(
  { localPath, remotePath }: Download,
  source: FileStat | null,
  bounds: LocalBounds,
): Promise<string> {
  const into = join(localPath, posix.basename(posix.normalize(source?.path ?? remotePath)) || 'root');
  if (localPath.endsWith('/')) return into;
  const isFile = source?.type !== 'directory';
  return isFile && (await isLocalDirectory(localPath, bounds)) ? into : localPath;
}

async function isLocalDirectory(localPath: string, bounds: LocalBounds): Promise<boolean> {
  try {
    return (await lstat(await existingLocalPath(localPath, bounds))).isDirectory();
  } catch (error) {
    if (error instanceof SandboxError && error.code === 'not_found') return false;
    throw error;
  }
}

export interface Upload {
  localPath: string;
  remotePath: string;
  cwd: string | null;
  mode: number | null;
  exclude: string[];
}

/** Uploads a file or directory into the sandbox. */
export async function upload(
  handle: RunningSandbox<'stat' | 'writeTree'>,
  request: Upload,
  bounds: LocalBounds,
  signal: AbortSignal,
  report: Report,
): Promise<TransferResult> {
  const excludes = excluder(request.exclude);
  const root = await openLocal(() => existingLocalPath(request.localPath, bounds));
  try {
    const { size, isFile } = await lstat(root.parent.at(root.name)).then((stats) => ({
      size: stats.size,
      isFile: stats.isFile(),
    }));
    if (request.mode !== null && !isFile) {
      throw new SandboxError(
        'invalid_argument',
        '`mode` applies to a single file; files in a directory keep their modes.',
        {
          hint: 'Call sandbox_upload_file without mode.',
        },
      );
    }
    await handle.requireRunning(signal);
    const stateDir = await stat(await realStateDir(bounds)).catch(() => null);
    const reading = { root, fileMode: request.mode, excludes, stateDir };
    const target = await remoteTarget(handle.files, request, { name: basename(root.path), isFile }, signal);
    const placed = { ...request, remotePath: target };
    return await sendTree(handle.files, placed, reading, isFile ? sha256(size) : null, signal, report);
  } finally {
    await root.parent.close();
  }
}

/**
 * Where an upload goes: into `remote_path` if that ends in a slash, or if it is a directory and the source is
 * a file.
 */
async function remoteTarget(
  files: Pick<SandboxFiles, 'stat'>,
  { remotePath, cwd }: Upload,
  source: { name: string; isFile: boolean },
  signal: AbortSignal,
): Promise<string> {
  const into = posix.join(remotePath, source.name);
  if (remotePath.endsWith('/')) return into;
  if (!source.isFile) return remotePath;
  const there = await files.stat(remotePath, cwd, signal);
  return there?.type === 'directory' ? into : remotePath;
}

async function sendTree(
  files: Pick<SandboxFiles, 'writeTree'>,
  request: Upload,
  reading: Omit<TreeReading, 'skipped' | 'onData'>,
  hash: Sha256 | null,
  signal: AbortSignal,
  report: Report,
): Promise<TransferResult> {
  const skipped = new SkippedEntries();
  let sent = 0;
  const onData = (bytes: Buffer) => {
    sent += bytes.length;
    report(0, bytes.length);
    return hash?.update(bytes);
  };
  const entries: AsyncIterable<TreeEntry> = readHostTree({ ...reading, skipped, onData }, signal);
  try {
    const { remotePath, cwd } = request;
    const written = await files.writeTree(remotePath, cwd, counted(entries, report), signal);
    if (written.bytes !== sent) {
      throw new SandboxError(
        'server',
        `Of ${sent} bytes sent, ${written.bytes} arrived at ${written.path}.`,
        {
          hint: 'Call sandbox_upload_file again.',
        },
      );
    }
    return {
      localPath: reading.root.path,
      remotePath: written.path,
      files: written.files,
      bytes: written.bytes,
      sha256: (await hash?.digest()) ?? null,
      skipped: skipped.count,
      skippedPaths: skipped.first,
      executesOnHost: [],
    };
  } finally {
    await hash?.close();
  }
}

/** Reports each file once it was sent completely. */
async function* counted(entries: AsyncIterable<TreeEntry>, report: Report): AsyncGenerator<TreeEntry> {
  for await (const entry of entries) {
    yield entry;
    if (entry.type === 'file') report(1, 0);
  }
}

/** Opens the directory to write to. What had to be created for it is added to `made`, parents first. */
async function openTarget(
  localPath: string,
  createParents: boolean,
  bounds: LocalBounds,
  made: HostEntry[],
): Promise<LocalEntry> {
  try {
    return await openLocal(
      () => newLocalPath(localPath, bounds),
      createParents,
      (parent, name) => made.push({ parent, name }),
    );
  } catch (error) {
    if (createParents || systemErrorCode(error) !== 'ENOENT') throw error;
    const path = await newLocalPath(localPath, bounds);
    throw new SandboxError(
      'not_found',
      `The parent directory of local_path ${JSON.stringify(path)} does not exist.`,
      {
        hint: 'Call sandbox_download_file with create_parents: true.',
        details: { local_path: path },
      },
    );
  }
}

async function unmakeParents(made: readonly HostEntry[]): Promise<void> {
  for (const { parent, name } of made.toReversed()) {
    // No longer empty if another process has put something there.
    const removed = await rmdir(parent.at(name)).then(
      () => true,
      () => false,
    );
    if (!removed) return;
  }
}
