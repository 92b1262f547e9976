/**
 * The contract between the registry and an engine: types alone, plain data in and out.
 *
 * Times are Unix epoch milliseconds, durations milliseconds, sizes bytes. Every call takes an AbortSignal; an aborted
 * call rejects with `SandboxError` code `cancelled` and leaves nothing half-done. Engines convert every failure to
 * `SandboxError` at their own edge. No method knows of sessions, ownership or tools.
 */
import type { EngineName } from '../shared/engine-names.ts';
import type { NetworkPolicy } from '../shared/policy-schema.ts';
import type { Commands } from './contract/commands.ts';
import type { Files } from './contract/files.ts';
import type { Images } from './contract/images.ts';
import type { Shells } from './contract/shells.ts';

export type { EngineName } from '../shared/engine-names.ts';
export type { NetworkPolicy, NetworkRule } from '../shared/policy-schema.ts';
export type * from './contract/commands.ts';
export type * from './contract/diagnosis.ts';
export type * from './contract/files.ts';
export type * from './contract/images.ts';
export type * from './contract/shells.ts';

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
  /** The whole life granted so far, extensions included. */
  timeoutMs: number;
  /** Null once the sandbox has ended. */
  expiresAt: number | null;
  /** `url` is null where no living process forwards the port at present. */
  ports: { port: number; url: string | null }[];
  networkPolicy: NetworkPolicy;
  /** Where people open terminals; null unless created `interactive`, and where no process serves it at present. */
  interactivePort: number | null;
  sourceSnapshotId: string | null;
  /** Null while it lives. */
  stopCause: StopCause | null;
  /** Why it ended, for people, where status and cause do not say it all; null otherwise. */
  statusReason: string | null;
}

export interface CreateSandbox {
  /** Chosen by the caller (`newSandboxId`), so that the intent can be recorded before anything exists. */
  sandboxId: string;
  runtime: string | null;
  ports: number[];
  timeoutMs: number;
  vcpus: number;
  /** For every program, as each one's own (`StartCommand.env`); kept with `${secret:NAME}` unfilled. */
  env: Record<string, string>;
  networkPolicy: NetworkPolicy;
  source: SandboxSource | null;
  interactive: boolean;
  /** Lives to its deadline, whatever becomes of the processes that use it; see `Ownership` for any other. */
  keep: boolean;
}

export type SandboxSource =
  | {
      type: 'git';
      /** http or https, without credentials. */
      url: string;
      /** A branch, tag, commit (also its first digits) or full ref name; left out, the default branch. */
      revision?: string | undefined;
      /** How many commits of the history; left out, all. */
      depth?: number | undefined;
      /** Never reach the sandbox: whoever carries its traffic adds them. */
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

/** Present where an engine can expose ports. */
export interface Ports {
  /** Makes every exposed port of the sandbox reachable from here, until `close` of the engine or the sandbox's end. */
  open(sandboxId: string, signal: AbortSignal): Promise<void>;
}

/**
 * Present where a sandbox ends with its owners: when the last process that owns it has died or closed its engine, every
 * process in the sandbox is ended at once. The process that creates a sandbox owns it.
 */
export interface Ownership {
  /** Makes this process an owner too. Does nothing to a sandbox that is kept or not running. */
  take(sandboxId: string, signal: AbortSignal): Promise<void>;
  /** Ends this process's ownership; without other owners the sandbox's processes end at once. */
  giveUp(sandboxId: string): void;
}

/** Present where an engine keeps snapshots. */
export interface Snapshots {
  /**
   * Stops a running sandbox (`snapshot` is its stop cause) and keeps its files. Answers once the snapshot is on disk; one
   * that has begun goes on when the signal fires. A second one of the same sandbox is a `conflict`.
   *
   * @param expirationMs null means 30 days, 0 never; otherwise at least 86,400,000
   */
  take(sandboxId: string, expirationMs: number | null, signal: AbortSignal): Promise<Snapshot>;
  /** One that is unknown, deleted or expired is `not_found`. */
  get(snapshotId: string, signal: AbortSignal): Promise<Snapshot>;
  /** Newest first. */
  list(query: ListQuery, signal: AbortSignal): Promise<Page<Snapshot>>;
  /** Sandboxes and snapshots that stand on it go on working. */
  delete(snapshotId: string, signal: AbortSignal): Promise<Snapshot>;
}

export interface Snapshot {
  snapshotId: string;
  sourceSandboxId: string;
  status: 'created' | 'deleted' | 'failed';
  /** What it holds beyond the runtime's own files, earlier snapshots below it included. Null while it is counted. */
  sizeBytes: number | null;
  createdAt: number;
  expiresAt: number | null;
}

/** Present where an engine can change the policy of a living sandbox. */
export interface NetworkPolicies {
  update(sandboxId: string, policy: NetworkPolicy, signal: AbortSignal): Promise<NetworkPolicy>;
  /** What went out and what was refused over the sandbox's life, as far as it is known. */
  activity?(sandboxId: string): Promise<NetworkActivity>;
}

export interface NetworkActivity {
  connections: number;
  refused: number;
  /** Into and out of the sandbox. */
  bytesIn: number;
  bytesOut: number;
  /** The most bytes, in and out together; null: no limit. Beyond it everything is refused. */
  maxBytes: number | null;
  /** The latest first. */
  lastRefused: { time: number; domain: string | null; address: string; port: number; rule: string }[];
}

/** Present where an engine can fill a sandbox from elsewhere. */
export interface Sources {
  readonly types: SandboxSource['type'][];
}

/** What this engine does not bound or give here, in words for `session_info` and `doctor`. */
export interface EngineLimits {
  /** The isolation in force, e.g. `crun 1.8.1, user namespace, root`. */
  isolation: string;
  /** Policies a sandbox can be given here. */
  networkModes: NetworkPolicy['mode'][];
  /** The policy of a sandbox that names none. */
  defaultNetworkPolicy: NetworkPolicy;
  /** Vcpus of a sandbox that names none, and the most it can name. */
  defaultVcpus: number;
  maxVcpus: number;
  memoryMbPerVcpu: number;
  /** What the files of a sandbox may take on disk at most, in MiB; null where nothing bounds them but the disk. */
  diskMb: number | null;
  /** Limits of the contract that this host cannot enforce, each one sentence; empty is good. */
  notEnforced: string[];
}

/** What `sandbox_create` takes as `runtime`. */
export interface Runtimes {
  /** Those that are here: a sandbox on one of them needs nothing fetched. */
  installed: string[];
  /** In words, what else can be named; null where nothing else can. */
  others: string | null;
}

export interface Engine {
  readonly name: EngineName;
  /**
   * Makes a sandbox, filled from its source, and answers once it is `running`. Until then it may be got, as `pending`, and
   * stopped, which makes this reject. On failure or abort nothing of it is left.
   *
   * @param report shows a line of progress; left out where nobody looks
   */
  create(request: CreateSandbox, signal: AbortSignal, report?: (line: string) => void): Promise<Sandbox>;
  /** Always fresh. Unknown is `not_found`; a stopped one is still answered until it is forgotten. */
  get(sandboxId: string, signal: AbortSignal): Promise<Sandbox>;
  /** Newest first. */
  list(query: ListQuery, signal: AbortSignal): Promise<Page<Sandbox>>;
  /** Adds to the deadline of a running sandbox. */
  extendTimeout(sandboxId: string, durationMs: number, signal: AbortSignal): Promise<Sandbox>;
  /**
   * Ends a sandbox: no process, mount, port or file system layer stays; record and logs do.
   * Resolves when that is done. A sandbox that has ended already is answered as it is.
   */
  stop(sandboxId: string, cause: 'requested' | 'session_end', signal: AbortSignal): Promise<Sandbox>;
  /** Stops if need be, then removes every trace, record and logs included. Unknown is no error. */
  forget(sandboxId: string, signal: AbortSignal): Promise<void>;
  /** Reclaims what sandboxes left that ended without a server (deadline, crash, reboot). Answers their ids. */
  recover(signal: AbortSignal): Promise<string[]>;
  limits(signal: AbortSignal): Promise<EngineLimits>;
  runtimes(signal: AbortSignal): Promise<Runtimes>;
  /** Lets go of what this process holds (forwards, connections, ownership). */
  close(): Promise<void>;

  readonly commands: Commands;
  readonly files: Files;
  readonly ports?: Ports;
  readonly ownership?: Ownership;
  readonly snapshots?: Snapshots;
  readonly shells?: Shells;
  readonly networkPolicies?: NetworkPolicies;
  readonly sources?: Sources;
  readonly images?: Images;
}
