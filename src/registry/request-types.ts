/** What callers ask of the registry. Types only. */
import type {
  NetworkPolicy,
  SandboxSource,
  Snapshot,
  VolumeMount,
  WorkspaceRequest,
} from '../engines/engine.ts';

export interface CreateRequest {
  runtime: string | null;
  ports: number[];
  timeoutMs: number | null;
  vcpus: number | null;
  env: Record<string, string>;
  networkPolicy: NetworkPolicy | null;
  source: SandboxSource | null;
  workspace?: WorkspaceRequest;
  volumes?: Omit<VolumeMount, 'owner'>[];
  interactive: boolean;
  keep: boolean;
  name?: string;
  regions?: string[];
  keepSnapshots?: number;
}

export interface SnapshotRequest {
  expirationMs: number | null;
  keepRunning: boolean;
  /** What later sandboxes may give as their `runtime`. */
  name?: string | undefined;
}

/** What became of the workspace of a sandbox when a snapshot of it was taken. */
export interface SnapshotWorkspace {
  /** Whether the snapshot contains its files: only those of an uploaded one. */
  isCopied: boolean;
  /** Whether changes can no longer be applied to the folder, because the sandbox has ended. */
  losesApply: boolean;
  /** How many changes are in neither the snapshot nor the folder; null if they could not be compared. */
  lost: number | null;
}

export interface TakenSnapshot extends Snapshot {
  /** Absent without one. */
  workspace?: SnapshotWorkspace;
}

/** How a caller waits for a sandbox that is being created. */
export interface CreateWait {
  /**
   * After this many milliseconds the sandbox is returned as `pending` and the create continues. Absent: waits
   * until it completes.
   */
  softTimeoutMs?: number;
  /** Shows a line of progress. */
  report?: (line: string) => void;
  /** Receives the id of the sandbox before it is there. */
  begun?: (sandboxId: string) => void;
}
