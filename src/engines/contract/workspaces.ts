/** The part of the engine contract for workspaces: a folder of the host that appears in a sandbox. */

export type WorkspaceMode = 'copy-on-write' | 'read-only' | 'live';

/** A workspace to create. */
export interface WorkspaceRequest {
  /** Absolute and real: no symbolic link on the way. The caller has checked that it may be used. */
  localPath: string;
  /** Where it appears in the sandbox: absolute. */
  path: string;
  mode: WorkspaceMode;
}

/** The workspace of a sandbox. */
export interface ProvidedWorkspace extends WorkspaceRequest {
  /** `overlay` over the folder, `bind` of the folder itself, or `upload` where it cannot be mounted. */
  provision: 'overlay' | 'bind' | 'upload';
}

/** A file or symbolic link on one side. */
export interface WorkspaceEntry {
  type: 'file' | 'symlink';
  /** Permission bits. */
  mode: number;
  sizeBytes: number;
  /** Unix epoch milliseconds. */
  modifiedAt: number;
}

/** One difference between the sandbox and the folder. Paths are relative to the folder. */
export interface WorkspaceChange {
  path: string;
  status: 'added' | 'modified' | 'deleted' | 'renamed' | 'mode';
  /** The former path of a renamed file, else null. */
  from: string | null;
  /** On the host; null if added. */
  before: WorkspaceEntry | null;
  /** In the sandbox; null if deleted. */
  after: WorkspaceEntry | null;
  /** Why it cannot be applied, as readable text; null if it can. */
  refused: string | null;
}

export interface WorkspaceChanges {
  localPath: string;
  /** Where the folder is in the sandbox. */
  path: string;
  /** Sorted by path. */
  changes: WorkspaceChange[];
  /** New files that `.gitignore` names. They are left out. */
  ignored: number;
  /** Entries that a folder cannot get from a sandbox: devices, sockets, names that are not UTF-8. */
  skipped: number;
}

export interface WorkspaceApplied {
  applied: WorkspaceChange[];
  refused: WorkspaceChange[];
}

/** Present if sandboxes can have workspaces. */
export interface Workspaces {
  /**
   * What the sandbox has changed: from the upper layer of its overlay, or compared with what was uploaded.
   *
   * @throws `conflict` without a copy-on-write workspace, once the sandbox has ended, or if the folder is
   *   gone; `limit_exceeded` for more changes than can be listed
   */
  changes(sandboxId: string, signal: AbortSignal): Promise<WorkspaceChanges>;
  /** At most `limit` bytes of a file, or the target of a link; null if there is none on that side. */
  read(
    sandboxId: string,
    path: string,
    side: 'before' | 'after',
    limit: number,
    signal: AbortSignal,
  ): Promise<Buffer | null>;
  /** Finishes or undoes an apply to the folder of this workspace that was interrupted. */
  finishApply(sandboxId: string, signal: AbortSignal): Promise<void>;
  /**
   * Writes changes to the folder: all that are not refused, or none after a crash or failure.
   *
   * @param agreed from `changes`; one that the sandbox has changed again since is refused
   */
  apply(
    sandboxId: string,
    agreed: readonly WorkspaceChange[],
    signal: AbortSignal,
  ): Promise<WorkspaceApplied>;
}
