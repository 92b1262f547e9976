import { lstat, mkdir, realpath, rmdir } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { TreeEntry } from '../../src/engines/engine.ts';
import type { SandboxHandle, TransferResult } from '../../src/registry/types.ts';
import { SandboxError, systemErrorCode } from '../../src/shared/errors.ts';
import { sha256 } from '../../src/shared/fs/sha256.ts';
import { excluder } from './exclude.ts';
import { hostError } from './host-error.ts';
import { readHostTree } from './host-tree-read.ts';
import { writeHostTree } from './host-tree-write.ts';
import { existingLocalPath, type LocalBounds, newLocalPath, realStateDir } from './local-path.ts';
import { SkippedEntries } from './skipped-entries.ts';

/** Reports files and bytes transferred. */
type Report = (files: number, bytes: number) => void;

export interface Download {
  localPath: string;
  remotePath: string;
  cwd: string | null;
  createParents: boolean;
}

/**
 * Downloads a file or directory, all of it or nothing. `note` records the staging path first, for clean-up if this process
 * dies.
 */
export async function download(
  handle: SandboxHandle,
  request: Download,
  bounds: LocalBounds,
  signal: AbortSignal,
  report: Report,
  note: (staging: string) => Promise<void>,
): Promise<TransferResult> {
  const { files } = handle;
  const target = await newLocalPath(request.localPath, bounds);
  await handle.requireRunning(signal);
  const source = await files.stat(request.remotePath, request.cwd, signal);
  if (source === null) {
    throw new SandboxError('not_found', `remote_path ${JSON.stringify(request.remotePath)} does not exist.`, {
      hint: 'List the directory with sandbox_run_command cmd "ls", then call sandbox_download_file again.',
      details: { remote_path: request.remotePath },
    });
  }
  const made = await makeParent(target, request.createParents).catch((error) => {
    throw hostError(request.localPath, error);
  });
  try {
    const entries = files.readTree(request.remotePath, request.cwd, signal);
    const written = await writeHostTree(target, entries, signal, {
      report,
      note,
      expectedBytes: source.sizeBytes,
    });
    return {
      localPath: target,
      remotePath: source.path,
      files: written.files,
      bytes: written.bytes,
      sha256: written.sha256,
      skipped: written.skipped.count,
      skippedPaths: written.skipped.first,
    };
  } catch (error) {
    await unmakeParents(dirname(target), made);
    throw hostError(request.localPath, error);
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
  handle: SandboxHandle,
  request: Upload,
  bounds: LocalBounds,
  signal: AbortSignal,
  report: Report,
): Promise<TransferResult> {
  const root = await existingLocalPath(request.localPath, bounds);
  const excludes = excluder(request.exclude);
  const stat = await lstat(root);
  const isFile = stat.isFile();
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
  const stateDir = await realStateDir(bounds);
  const hash = isFile ? sha256(stat.size) : null;
  const skipped = new SkippedEntries();
  let sent = 0;
  const onData = (bytes: Buffer) => {
    sent += bytes.length;
    report(0, bytes.length);
    return hash?.update(bytes);
  };
  const entries: AsyncIterable<TreeEntry> = readHostTree(
    { root, fileMode: request.mode, excludes, stateDir, skipped, onData },
    signal,
  );
  const { files } = handle;
  try {
    const written = await files.writeTree(request.remotePath, request.cwd, counted(entries, report), signal);
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
      localPath: root,
      remotePath: written.path,
      files: written.files,
      bytes: written.bytes,
      sha256: (await hash?.digest()) ?? null,
      skipped: skipped.count,
      skippedPaths: skipped.first,
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

/** Returns the topmost directory that had to be created, or null. */
async function makeParent(target: string, create: boolean): Promise<string | null> {
  const parent = dirname(target);
  if (create) return (await mkdir(parent, { recursive: true })) ?? null;
  try {
    await realpath(parent);
    return null;
  } catch (error) {
    if (systemErrorCode(error) !== 'ENOENT') throw error;
    throw new SandboxError(
      'not_found',
      `The parent directory of local_path ${JSON.stringify(target)} does not exist.`,
      {
        hint: 'Call sandbox_download_file with create_parents: true.',
        details: { local_path: target },
      },
    );
  }
}

async function unmakeParents(parent: string, topmost: string | null): Promise<void> {
  if (topmost === null) return;
  for (let directory = parent; directory.length >= topmost.length; directory = dirname(directory)) {
    // Not empty any more if somebody else has put something there.
    const removed = await rmdir(directory).then(
      () => true,
      () => false,
    );
    if (!removed) return;
  }
}
