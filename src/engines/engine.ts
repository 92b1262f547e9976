/**
 * The contract between the registry and an engine: types only, plain data in and out.
 *
 * Times are Unix epoch milliseconds, durations milliseconds, sizes bytes. Every call takes an AbortSignal; an
 * aborted call rejects with `SandboxError` code `cancelled` and leaves nothing half-done. Engines convert
 * every failure to `SandboxError` at their own edge. No method knows of sessions, ownership or tools.
 */
import type { EngineName } from '../shared/engine-names.ts';
import type { NetworkPolicy } from '../shared/policy-schema.ts';
import type { Commands } from './contract/commands.ts';
import type { Files } from './contract/files.ts';
import type { GitRepositories } from './contract/git.ts';
import type { Images, Runtimes } from './contract/images.ts';
import type { NetworkPolicies } from './contract/network.ts';
import type { Ownership } from './contract/ownership.ts';
import type { Ports } from './contract/ports.ts';
import type { Regions } from './contract/regions.ts';
import type { Shells } from './contract/shells.ts';
import type { VolumeMount, Volumes } from './contract/volumes.ts';
import type { ProvidedWorkspace, WorkspaceRequest, Workspaces } from './contract/workspaces.ts';

export type { EngineName } from '../shared/engine-names.ts';
export type { NetworkPolicy, NetworkRule } from '../shared/policy-schema.ts';
export type * from './contract/commands.ts';
export type * from './contract/diagnosis.ts';
export type * from './contract/files.ts';
export type * from './contract/git.ts';
export type * from './contract/images.ts';
export type * from './contract/network.ts';
export type * from './contract/ownership.ts';
export type * from './contract/ports.ts';
export type * from './contract/regions.ts';
export type * from './contract/shells.ts';
export type * from './contract/volumes.ts';
export type * from './contract/workspaces.ts';

export type SandboxStatus =
  | 'pending'
  | 'running'
  | 'snapshotting'
  | 'stopping'
  | 'stopped'
  | 'aborted'
  | 'failed';

/** Why a sandbox ended; becomes `ended_by` of the commands that ended with it. */
export type StopCause = 'requested' | 'session_end' | 'deadline' | 'snapshot' | 'aborted' | 'out_of_memory';

export interface Sandbox {
  sandboxId: string;
  status: SandboxStatus;
  engine: EngineName;
  runtime: string;
  cwd: string;
  vcpus: number;
  memoryMb: number;
  createdAt: number;
  /** The total lifetime granted so far, extensions included. */
  timeoutMs: number;
  /** Null once the sandbox has ended. */
  expiresAt: number | null;
  /** `url` is null if no living process forwards the port at present. */
  ports: { port: number; url: string | null }[];
  networkPolicy: NetworkPolicy;
  /**
   * The URL at which people open terminals. Null unless created `interactive`, and if no process serves it at
   * present.
   */
  interactivePort: number | null;
  sourceSnapshotId: string | null;
  /** Where it runs; absent on an engine without regions. */
  region?: string | undefined;
  /** Null or absent without one. */
  workspace?: ProvidedWorkspace | null | undefined;
  /**
   * Where the repository of a git source is, if it got a directory of its own; null if `cwd` holds its files.
   */
  sourcePath: string | null;
  /** Null while the sandbox is alive. */
  stopCause: StopCause | null;
  /**
   * Why it ended, as readable text, if status and cause do not say it all; of a running one, that it was
   * restarted elsewhere. Null otherwise.
   */
  statusReason: string | null;
}

export interface CreateSandbox {
  /**
   * Chosen by the caller (`newSandboxId`, or `Stock.reserve`), so that the intent can be recorded before
   * anything exists.
   */
  sandboxId: string;
  runtime: string | null;
  ports: number[];
  timeoutMs: number;
  vcpus: number;
  /**
   * Default environment of every program; a program's own `StartCommand.env` wins. Stored with
   * `${secret:NAME}` unfilled.
   */
  env: Record<string, string>;
  networkPolicy: NetworkPolicy;
  source: SandboxSource | null;
  /** `Workspaces` alone. */
  workspace?: WorkspaceRequest;
  /** `Volumes` alone. */
  volumeMounts?: VolumeMount[];
  interactive: boolean;
  /** `Regions` alone: the preferred region first, then those to fail over to. */
  regions?: string[];
  /** `Persistence` alone: its files are kept when it stops, and `resume` starts it again. */
  persistent?: { name: string; keepSnapshots: number | null };
  /**
   * Runs to its deadline, whatever happens to the processes that use it. For other sandboxes see `Ownership`.
   */
  keep: boolean;
}

export type SandboxSource =
  | {
      type: 'git';
      /** http or https, without credentials. */
      url: string;
      /** A branch, tag, commit (or commit prefix) or full ref name. Absent: the default branch. */
      revision?: string | undefined;
      /** How many commits of history to fetch. Absent: all. */
      depth?: number | undefined;
      /** Credentials never reach the sandbox: they are added to its traffic outside. */
      username?: string | undefined;
      password?: string | undefined;
    }
  | { type: 'tarball'; url: string }
  | { type: 'snapshot'; snapshotId: string };

export interface ListQuery {
  limit: number;
  /** Inclusive bounds on `createdAt`. */
  since: number | null;
  until: number | null;
  cursor: string | null;
}

export interface Page<T> {
  items: T[];
  nextCursor: string | null;
}

/** Present if the engine boots sandboxes ahead, while it is idle. They belong to nobody and are never listed. */
export interface Stock {
  /**
   * Reserves a sandbox that can become the requested one. A create with its id takes it over; a caller that
   * records its intent first can therefore be found by that id. Null if there is none.
   */
  reserve(request: Omit<CreateSandbox, 'sandboxId'>): string | null;
  /** Returns a reserved sandbox that will not be created. */
  giveBack(sandboxId: string): void;
  /** Removes the sandboxes that nobody took, and boots no more. */
  empty(): Promise<void>;
}

/**
 * Present if the engine keeps sandboxes elsewhere than on this machine: they outlive its records, and others
 * know them.
 */
export interface Persistence {
  /** Whether it can be started again with its files once it has stopped. */
  isResumable(sandboxId: string, signal: AbortSignal): Promise<boolean>;
  /** Starts a stopped persistent sandbox again, with its files. One that runs is returned as it is. */
  resume(sandboxId: string, signal: AbortSignal): Promise<Sandbox>;
  /**
   * Makes records here of a sandbox that was created with another state directory.
   *
   * @throws `not_found` if there is none
   */
  adopt(sandboxId: string, signal: AbortSignal): Promise<Sandbox>;
  /** Removes the records of a sandbox here; the sandbox itself stays. */
  release(sandboxId: string): Promise<void>;
}

/** Present if the engine has snapshots. */
export interface Snapshots {
  /**
   * Stops a running sandbox (stop cause `snapshot`) and keeps its files. Resolves once the snapshot is on
   * disk. Once started, it continues if the signal fires. A second snapshot of the same sandbox is a
   * `conflict`.
   *
   * @param expirationMs null means 30 days, 0 never; otherwise at least 86,400,000
   */
  take(sandboxId: string, expirationMs: number | null, signal: AbortSignal): Promise<Snapshot>;
  /**
   * Present if the engine can keep the sandbox running: its processes are frozen while its files are copied.
   * @throws as `take`; `unsupported` where this host cannot
   */
  copy?(sandboxId: string, expirationMs: number | null, signal: AbortSignal): Promise<Snapshot>;
  /** Whether `copy` works for this sandbox. Absent: for all of them, if there is `copy`. */
  canCopy?(sandboxId: string, signal: AbortSignal): Promise<boolean>;
  /** An unknown, deleted or expired snapshot is `not_found`. */
  get(snapshotId: string, signal: AbortSignal): Promise<Snapshot>;
  /** Newest first. */
  list(query: ListQuery, signal: AbortSignal): Promise<Page<Snapshot>>;
  /** Sandboxes and snapshots based on it keep working. */
  delete(snapshotId: string, signal: AbortSignal): Promise<Snapshot>;
}

export interface Snapshot {
  snapshotId: string;
  sourceSandboxId: string;
  status: 'created' | 'deleted' | 'failed';
  /**
   * Its size beyond the runtime's own files, including the snapshots it is based on. Null until it has been
   * measured.
   */
  sizeBytes: number | null;
  createdAt: number;
  expiresAt: number | null;
}

/** Present if the engine can fill a sandbox from a remote source. */
export interface Sources {
  readonly types: SandboxSource['type'][];
}

/** What this engine does not limit or provide here, as readable text for `session_info` and `doctor`. */
export interface EngineLimits {
  /** The isolation in effect, e.g. `crun 1.8.1, user namespace, root`. */
  isolation: string;
  /** Network policies available here. */
  networkModes: NetworkPolicy['mode'][];
  /** The default network policy. */
  defaultNetworkPolicy: NetworkPolicy;
  /** The default and maximum number of vcpus. */
  defaultVcpus: number;
  maxVcpus: number;
  memoryMbPerVcpu: number;
  /** The maximum disk usage of a sandbox's files, in MiB; null if only the disk limits it. */
  diskMb: number | null;
  /** Limits of the contract that this host cannot enforce, one sentence each. Ideally empty. */
  notEnforced: string[];
}

export interface Engine {
  readonly name: EngineName;
  /**
   * Creates a sandbox, fills it from its source, and resolves once it is `running`. Until then `get` returns
   * it as `pending`, and stopping it makes this call reject. On failure or abort, nothing of it is left.
   *
   * @param report shows a line of progress; absent if nobody watches
   * @param onUploading called if the sandbox runs, and so nears its deadline, while its workspace is uploaded
   */
  create(
    request: CreateSandbox,
    signal: AbortSignal,
    report?: (line: string) => void,
    onUploading?: (sandbox: Sandbox) => void,
  ): Promise<Sandbox>;
  /**
   * Queries the current state. An unknown sandbox is `not_found`; a stopped one is returned until it is
   * forgotten.
   */
  get(sandboxId: string, signal: AbortSignal): Promise<Sandbox>;
  /** Newest first. */
  list(query: ListQuery, signal: AbortSignal): Promise<Page<Sandbox>>;
  /** Extends the deadline of a running sandbox. */
  extendTimeout(sandboxId: string, durationMs: number, signal: AbortSignal): Promise<Sandbox>;
  /**
   * Ends a sandbox: no process, mount, port or file system layer is left; its record and logs are kept.
   * Resolves when that is done. A sandbox that has already ended is returned unchanged.
   */
  stop(sandboxId: string, cause: 'requested' | 'session_end', signal: AbortSignal): Promise<Sandbox>;
  /**
   * Stops the sandbox if it runs, then removes everything, record and logs included. An unknown one is no
   * error.
   */
  forget(sandboxId: string, signal: AbortSignal): Promise<void>;
  /** Cleans up sandboxes that ended without a server (deadline, crash, reboot). Returns their ids. */
  recover(signal: AbortSignal): Promise<string[]>;
  limits(signal: AbortSignal): Promise<EngineLimits>;
  runtimes(signal: AbortSignal): Promise<Runtimes>;
  /** Releases what this process holds (forwards, connections, ownership). */
  close(): Promise<void>;

  readonly commands: Commands;
  readonly files: Files;
  readonly ports?: Ports;
  readonly ownership?: Ownership;
  readonly stock?: Stock;
  readonly snapshots?: Snapshots;
  readonly shells?: Shells;
  readonly networkPolicies?: NetworkPolicies;
  readonly sources?: Sources;
  readonly images?: Images;
  readonly volumes?: Volumes;
  readonly regions?: Regions;
  readonly persistence?: Persistence;
  readonly workspaces?: Workspaces;
  readonly git?: GitRepositories;
}
