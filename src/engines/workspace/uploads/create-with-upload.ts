/** Creates a sandbox and uploads its workspace. */
import { stat } from 'node:fs/promises';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import type { HostDirectory } from '../../../shared/fs/host-directory.ts';
import { SANDBOX_CWD } from '../../../shared/fs/sandbox-path.ts';
import type { CreateSandbox, Engine, Sandbox, WorkspaceRequest } from '../../engine.ts';
import { describeFolder } from '../folder.ts';
import { FolderCursor } from '../folder-cursor.ts';
import { hiddenRules } from '../hidden-files.ts';
import { boundedSurvey } from './bounded-survey.ts';
import type { GuestAccess, OnLeftOut } from './guest-access.ts';
import { guestStamp, type Manifest, writeManifest } from './manifest.ts';
import { uploadEntries } from './upload-folder.ts';
import { UploadCount, type UploadLimits } from './upload-limits.ts';
import { UploadProgress } from './upload-progress.ts';
import { makeUploadDirectory, uploadPaths, writeUploadRecord } from './upload-record.ts';
import { type VisibleFile, visibleFiles } from './visible-files.ts';

/** Directories that root of the sandbox alone may create, `$2` and on; they belong to the owner of `$1`. */
const MAKE_DIRECTORIES =
  'owner=$(stat -c %u:%g -- "$1") && shift && mkdir -p -- "$@" && chown -h "$owner" -- "$@"';
/**
 * A mount would be read-only; the copy belongs to root, without write permission. The user, whose group stays,
 * may do everything else that the owner might.
 */
const PROTECT = 'chown -R -h 0 -- "$1" && chmod -R g=u,a-w -- "$1"';

export interface Uploading {
  engine: Engine;
  guest: GuestAccess;
  limits: UploadLimits;
  /** The server's own files, which never leave this machine. */
  stateDir: string;
  onUploading(sandbox: Sandbox): void;
  /** Removes the sandbox when its workspace cannot be uploaded. Returns the error to throw. */
  undo(error: unknown): Promise<unknown>;
}

/** @param folder is open; what it holds is checked against the limits before anything is created */
export async function createWithUpload(
  { engine, guest, limits, stateDir, undo, onUploading }: Uploading,
  request: CreateSandbox,
  workspace: WorkspaceRequest,
  folder: HostDirectory,
  signal: AbortSignal,
  report?: (line: string) => void,
): Promise<Sandbox> {
  requireNoVolumeBelow(request, workspace);
  const volumes = volumesBelow(request, workspace);
  const record = { ...(await describeFolder(workspace, folder, stateDir)), volumes };
  const count = new UploadCount(workspace.localPath, limits);
  let unreadable = 0;
  const own = await stat(stateDir).catch(() => null);
  const files = await visibleFiles(folder, {
    rules: hiddenRules(record.hidden),
    count,
    volumes,
    onUnreadable: () => {
      unreadable += 1;
    },
    isOwn: ({ dev, ino }) => own !== null && own.dev === dev && own.ino === ino,
    signal,
  });
  throwIfCancelled(signal);
  const { workspace: _uploaded, ...rest } = request;
  const sandbox = await engine.create(rest, signal, report);
  const { sandboxId } = request;
  onUploading(sandbox);
  try {
    const target = { sandboxId, ...workspace, volumes };
    const progress = new UploadProgress(count, report);
    const sent = new UploadCount(workspace.localPath, limits);
    const manifest = await upload({ engine, guest }, target, { folder, files }, { progress, sent }, signal);
    const paths = uploadPaths(guest.directoryOf(sandboxId));
    await makeUploadDirectory(paths);
    await writeManifest(paths.manifest, manifest);
    await writeUploadRecord(paths, record);
    throwIfCancelled(signal);
    if (unreadable > 0)
      report?.(
        `The workspace lacks ${unreadable} entries that cannot be read, are too deep or have no UTF-8 name`,
      );
    return sandbox;
  } catch (error) {
    throw await undo(error);
  }
}

/** The paths of volumes in the workspace. */
function volumesBelow({ volumeMounts = [] }: CreateSandbox, { path }: WorkspaceRequest): string[] {
  const below = volumeMounts.filter((volume) => volume.path.startsWith(`${path}/`));
  return below.map((volume) => volume.path.slice(path.length + 1));
}

/** What protects the files of a read-only workspace would change a volume among them. */
function requireNoVolumeBelow({ volumeMounts = [] }: CreateSandbox, { path, mode }: WorkspaceRequest): void {
  const below = volumeMounts.find((volume) => mode === 'read-only' && volume.path.startsWith(`${path}/`));
  if (below === undefined) return;
  throw new SandboxError(
    'unsupported',
    `Volume "${below.name}" at ${below.path} cannot be below a read-only workspace that is uploaded.`,
    {
      hint: 'Use mode copy-on-write, or mount the volume elsewhere.',
      details: { volume: below.name, path: below.path },
    },
  );
}

interface UploadTarget extends Pick<WorkspaceRequest, 'path' | 'mode'> {
  sandboxId: string;
  volumes: readonly string[];
}

async function upload(
  { engine, guest }: Pick<Uploading, 'engine' | 'guest'>,
  { sandboxId, path, mode, volumes }: UploadTarget,
  { folder, files }: { folder: HostDirectory; files: readonly VisibleFile[] },
  { progress, sent }: { progress: UploadProgress; sent: UploadCount },
  signal: AbortSignal,
): Promise<Manifest> {
  const manifest: Manifest = new Map();
  const made = directoriesOfRoot(path, volumes);
  if (made.length > 0) await guest.runAsRoot(sandboxId, MAKE_DIRECTORIES, [SANDBOX_CWD, ...made], signal);
  const cursor = new FolderCursor(folder);
  try {
    const entries = uploadEntries(cursor, files, manifest, progress, sent, signal);
    await engine.files.writeTree(sandboxId, path, null, entries, signal);
  } finally {
    await cursor.close();
  }
  if (mode === 'read-only') await guest.runAsRoot(sandboxId, PROTECT, [path], signal);
  else await noteGuestStamps(guest, { sandboxId, path, volumes }, manifest, signal);
  return manifest;
}

/** What the sandbox's user may not create, and what the mounts of volumes have created as root. */
function directoriesOfRoot(path: string, volumes: readonly string[]): string[] {
  const isInCwd = path === SANDBOX_CWD || path.startsWith(`${SANDBOX_CWD}/`);
  const made = new Set(isInCwd && volumes.length === 0 ? [] : [path]);
  for (const volume of volumes) {
    const names = volume.split('/');
    for (let depth = 1; depth < names.length; depth += 1)
      made.add([path, ...names.slice(0, depth)].join('/'));
  }
  return [...made];
}

/** Nothing in the sandbox has run yet: what is there now is what was uploaded, or there before. */
async function noteGuestStamps(
  guest: GuestAccess,
  { sandboxId, path, volumes }: Omit<UploadTarget, 'mode'>,
  manifest: Manifest,
  signal: AbortSignal,
): Promise<void> {
  const survey = (onLeftOut: OnLeftOut) => guest.survey(sandboxId, path, signal, onLeftOut);
  for await (const found of boundedSurvey(survey, volumes, () => {})) {
    if (found.path === '') continue;
    const stamp = guestStamp(found);
    const known = manifest.get(found.path);
    const { type, mode, sizeBytes, mtimeMs } = found;
    const before = { path: found.path, type, mode, sizeBytes, mtimeMs, content: null, host: null };
    manifest.set(found.path, { ...(known ?? before), guest: stamp });
  }
}

/** The error for a live workspace where the folder cannot be mounted. */
export function cannotBeLive(localPath: string, reason: string): SandboxError {
  return new SandboxError(
    'unsupported',
    `${localPath} cannot be a live workspace, which has to be mounted: ${reason}.`,
    {
      hint: 'Use mode copy-on-write: the folder is uploaded, and sandbox_apply_changes writes the changes back.',
      details: { local_path: localPath, mode: 'live' },
    },
  );
}
