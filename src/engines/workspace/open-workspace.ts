/** A copy-on-write workspace while it is compared or applied: its folder, and the sandbox's files. */
import type { WorkspaceMode } from '../engine.ts';
import type { FolderCursor } from './folder-cursor.ts';
import type { SandboxFiles, SeenFolder } from './sides.ts';

/** What is recorded of a workspace, however its sandbox got it. */
export interface WorkspaceFolder {
  localPath: string;
  path: string;
  mode: WorkspaceMode;
  /** Rules of hidden files, in the syntax of gitignore. */
  hidden: string;
  /** Device and inode of the folder. */
  folder: string;
  /** Paths in the workspace at which volumes are mounted, which are not part of it. */
  volumes?: string[] | undefined;
}

export interface OpenWorkspace {
  sandboxId: string;
  record: WorkspaceFolder;
  folder: FolderCursor;
  sandbox: SandboxFiles;
  seen: SeenFolder;
  /** Stamps of files as an earlier apply left them, by path. */
  applied: Record<string, string>;
  /** Where they are recorded. */
  appliedFile: string;
  /** The directory of the journals, which all workspaces of the state directory share. */
  journals: string;
  /** @throws `conflict` once the sandbox ends: what is removed from it would look like deletions */
  requireAlive(signal: AbortSignal): Promise<void>;
}
