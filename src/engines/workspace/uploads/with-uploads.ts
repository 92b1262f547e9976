/** Gives an engine workspaces that are uploaded, wherever their folder cannot be mounted. */
import { SandboxError } from '../../../shared/errors.ts';
import { absolutePath } from '../../../shared/fs/sandbox-path.ts';
import type { Logger } from '../../../shared/log.ts';
import type {
  CreateSandbox,
  Engine,
  GitRepositories,
  Sandbox,
  SandboxStatus,
  Workspaces,
} from '../../engine.ts';
import { readApplied } from '../applied.ts';
import { openWorkspaceFolder, reopenWorkspaceFolder } from '../folder.ts';
import { FolderCursor } from '../folder-cursor.ts';
import { recoverJournals } from '../journal.ts';
import { requireKeepsChanges } from '../require-changes.ts';
import { type WithWorkspace, workspaceCalls } from '../workspace-calls.ts';
import { cannotBeLive, createWithUpload } from './create-with-upload.ts';
import type { GuestAccess } from './guest-access.ts';
import { readManifest } from './manifest.ts';
import { UPLOAD_LIMITS, type UploadLimits } from './upload-limits.ts';
import { readUploadRecord, uploadPaths } from './upload-record.ts';
import { KnownFiles, UploadedFiles } from './uploaded-files.ts';
import { UploadedFolder } from './uploaded-folder.ts';

const UNDO_MS = 30_000;
/** Of how many sandboxes the files are remembered between calls. */
const MAX_KNOWN = 8;
const ENDED: readonly SandboxStatus[] = ['stopped', 'failed', 'aborted'];
const WHEN_ENDED =
  'sandbox_get resumes a named sandbox, whose files are kept. Those of any other are in the snapshots of it: call sandbox_create with one as its source.';

export interface UploadOptions {
  guest: GuestAccess;
  /** Absolute. */
  stateDir: string;
  /** The journals of changes being applied, which the engines of a state directory share. */
  journals: string;
  log: Logger;
  limits?: UploadLimits;
}

/** The same engine, which uploads the folders that it cannot mount. */
export function withUploads(engine: Engine, options: UploadOptions): Engine {
  const uploads = new Uploads(engine, options);
  const shown = (sandbox: Promise<Sandbox>) => sandbox.then((found) => uploads.show(found));
  const { persistence, git } = engine;
  return {
    ...engine,
    workspaces: uploads.workspaces(),
    ...(git && { git: uploads.git(git) }),
    create: (request, signal, report, onUploading) =>
      shown(uploads.create(request, signal, report, onUploading)),
    get: (sandboxId, signal) => shown(engine.get(sandboxId, signal)),
    async list(query, signal) {
      const { items, nextCursor } = await engine.list(query, signal);
      return { items: await Promise.all(items.map((each) => uploads.show(each))), nextCursor };
    },
    extendTimeout: (sandboxId, durationMs, signal) =>
      shown(engine.extendTimeout(sandboxId, durationMs, signal)),
    stop(sandboxId, cause, signal) {
      uploads.forget(sandboxId);
      return shown(engine.stop(sandboxId, cause, signal));
    },
    async forget(sandboxId, signal) {
      uploads.forget(sandboxId);
      await engine.forget(sandboxId, signal);
    },
    async recover(signal) {
      await uploads.recoverJournals();
      return engine.recover(signal);
    },
    ...(persistence && {
      persistence: {
        isResumable: (sandboxId, signal) => persistence.isResumable(sandboxId, signal),
        release: (sandboxId) => persistence.release(sandboxId),
        adopt: (sandboxId, signal) => persistence.adopt(sandboxId, signal),
        resume: (sandboxId, signal) => shown(persistence.resume(sandboxId, signal)),
      },
    }),
  };
}

class Uploads {
  readonly #engine: Engine;
  readonly #options: UploadOptions;
  /** Sandboxes whose workspace this process is uploading. */
  readonly #pending = new Set<string>();
  readonly #known = new Map<string, KnownFiles>();

  constructor(engine: Engine, options: UploadOptions) {
    this.#engine = engine;
    this.#options = options;
  }

  async create(
    request: CreateSandbox,
    signal: AbortSignal,
    report?: (line: string) => void,
    onUploading: (sandbox: Sandbox) => void = () => {},
  ): Promise<Sandbox> {
    const { workspace, sandboxId } = request;
    if (workspace === undefined) return this.#engine.create(request, signal, report);
    const folder = await openWorkspaceFolder(workspace);
    try {
      const reason = await this.#options.guest.whyNotMounted(folder);
      if (reason === null) return await this.#engine.create(request, signal, report);
      if (workspace.mode === 'live') throw cannotBeLive(workspace.localPath, reason);
      const { guest, stateDir, limits = UPLOAD_LIMITS } = this.#options;
      const undo = (error: unknown) => this.#undo(sandboxId, signal, error);
      const uploading = { engine: this.#engine, guest, limits, stateDir, undo, onUploading };
      this.#pending.add(sandboxId);
      return await createWithUpload(uploading, request, workspace, folder, signal, report);
    } finally {
      this.#pending.delete(sandboxId);
      await folder.close();
    }
  }

  /** A sandbox as it is shown: pending until its workspace is there. */
  async show(sandbox: Sandbox): Promise<Sandbox> {
    const { sandboxId, status } = sandbox;
    if (this.#pending.has(sandboxId) && status === 'running') return { ...sandbox, status: 'pending' };
    if (ENDED.includes(status)) this.forget(sandboxId);
    if (sandbox.workspace != null) return sandbox;
    const folder = await readUploadRecord(this.#paths(sandboxId));
    if (folder === null) return sandbox;
    const { localPath, path, mode } = folder;
    return { ...sandbox, workspace: { localPath, path, mode, provision: 'upload' } };
  }

  workspaces(): Workspaces {
    const uploaded = workspaceCalls(this.#withWorkspace);
    const { workspaces: mounted } = this.#engine;
    const of = async (sandboxId: string): Promise<Workspaces> =>
      mounted === undefined || (await readUploadRecord(this.#paths(sandboxId))) !== null ? uploaded : mounted;
    return {
      changes: async (sandboxId, signal) => (await of(sandboxId)).changes(sandboxId, signal),
      read: async (sandboxId, ...rest) => (await of(sandboxId)).read(sandboxId, ...rest),
      finishApply: async (sandboxId, signal) => (await of(sandboxId)).finishApply(sandboxId, signal),
      apply: async (sandboxId, ...rest) => (await of(sandboxId)).apply(sandboxId, ...rest),
    };
  }

  /** A path is relative to the workspace, which the engine below does not know of. */
  git(git: GitRepositories): GitRepositories {
    const recordOf = (sandboxId: string) => readUploadRecord(this.#paths(sandboxId));
    return {
      async *uploadPack(request, signal) {
        const workspace = await recordOf(request.sandboxId);
        const path = workspace === null ? request.path : absolutePath(request.path, null, workspace.path);
        yield* git.uploadPack({ ...request, path }, signal);
      },
    };
  }

  forget(sandboxId: string): void {
    this.#known.delete(sandboxId);
  }

  async recoverJournals(): Promise<void> {
    try {
      await recoverJournals(this.#options.journals);
    } catch (error) {
      this.#options.log.error({ err: error }, 'cannot finish changes of a workspace that were being applied');
    }
  }

  readonly #withWorkspace: WithWorkspace = async (sandboxId, signal, work) => {
    const { guest, journals } = this.#options;
    const { status } = await this.show(await this.#engine.get(sandboxId, signal));
    const paths = this.#paths(sandboxId);
    const record = requireKeepsChanges(sandboxId, status, await readUploadRecord(paths), WHEN_ENDED);
    const known = this.#knownOf(sandboxId);
    const manifest = await known.manifest(() => readManifest(paths.manifest));
    const directory = await reopenWorkspaceFolder(record.localPath, record.folder);
    const folder = new FolderCursor(directory);
    const { files } = this.#engine;
    const { path } = record;
    const sandbox = new UploadedFiles({
      sandboxId,
      path,
      manifest,
      volumes: record.volumes ?? [],
      directory: paths.directory,
      files,
      guest,
      known,
    });
    try {
      return await work({
        sandboxId,
        record,
        folder,
        sandbox,
        seen: new UploadedFolder(folder, manifest),
        applied: await readApplied(paths.applied),
        appliedFile: paths.applied,
        journals,
        requireAlive: (stillThere) => this.#requireAlive(sandboxId, stillThere),
      });
    } finally {
      await sandbox.close();
      await folder.close();
      await directory.close();
    }
  };

  #paths(sandboxId: string) {
    return uploadPaths(this.#options.guest.directoryOf(sandboxId));
  }

  #knownOf(sandboxId: string): KnownFiles {
    const known = this.#known.get(sandboxId) ?? new KnownFiles();
    // The one that was used last comes last.
    this.#known.delete(sandboxId);
    this.#known.set(sandboxId, known);
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= MAX_KNOWN) break;
      this.#known.delete(oldest);
    }
    return known;
  }

  async #requireAlive(sandboxId: string, signal: AbortSignal): Promise<void> {
    const { status } = await this.#engine.get(sandboxId, signal);
    if (status === 'running') return;
    throw new SandboxError(
      'conflict',
      `Sandbox ${sandboxId} is ${status}: its changes were neither listed nor applied.`,
      {
        hint: 'Call sandbox_get to see its state.',
        details: { sandbox_id: sandboxId },
      },
    );
  }

  /** Removes a sandbox without its workspace. Returns the error for the creator. Never rejects. */
  async #undo(sandboxId: string, signal: AbortSignal, error: unknown): Promise<unknown> {
    const limit = AbortSignal.timeout(UNDO_MS);
    try {
      const { stopCause } = await this.#engine.get(sandboxId, limit);
      const wasStopped = stopCause === 'requested' || stopCause === 'session_end';
      // Whoever stopped it reads its record.
      if (wasStopped && !signal.aborted) return stoppedDuringCreate(sandboxId);
      await this.#engine.forget(sandboxId, limit);
    } catch (second) {
      const isMissing = second instanceof SandboxError && second.code === 'not_found';
      if (!isMissing)
        this.#options.log.error({ sandbox_id: sandboxId, err: second }, 'cannot remove a failed sandbox');
    }
    if (!signal.aborted) return error;
    return new SandboxError('cancelled', 'The call was cancelled.', { cause: error });
  }
}

function stoppedDuringCreate(sandboxId: string): SandboxError {
  return new SandboxError('conflict', `Sandbox ${sandboxId} was stopped while its workspace was uploaded.`, {
    hint: 'Call sandbox_create.',
    details: { sandbox_id: sandboxId },
  });
}
