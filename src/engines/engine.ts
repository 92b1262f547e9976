/**
 * The contract between the registry and an engine: types alone, plain data in and out.
 *
 * Times are Unix epoch milliseconds, durations milliseconds, sizes bytes. Every call takes an AbortSignal; an aborted
 * call rejects with `SandboxError` code `cancelled` and leaves nothing half-done. Engines convert every failure to
 * `SandboxError` at their own edge. No method knows of sessions, ownership or tools.
 */
import type { Readable } from 'node:stream';

export type EngineName = 'oci' | 'microvm' | 'vercel';

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

export interface NetworkPolicy {
  mode: 'allow-all' | 'deny-all' | 'custom';
  allow?: string[] | undefined;
  subnets?: { allow?: string[] | undefined; deny?: string[] | undefined } | undefined;
  rules?:
    | {
        domain: string;
        match?: { methods?: string[] | undefined; path_prefix?: string | undefined } | undefined;
        headers?: Record<string, string> | undefined;
      }[]
    | undefined;
}

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
  interactivePort: number | null;
  sourceSnapshotId: string | null;
  /** Null while it lives. */
  stopCause: StopCause | null;
  /** Why it `failed` or was `aborted`, for people; null otherwise. */
  statusReason: string | null;
}

export interface CreateSandbox {
  /** Chosen by the caller (`newSandboxId`), so that the intent can be recorded before anything exists. */
  sandboxId: string;
  runtime: string | null;
  ports: number[];
  timeoutMs: number;
  vcpus: number;
  env: Record<string, string>;
  networkPolicy: NetworkPolicy;
  source: SandboxSource | null;
  interactive: boolean;
}

export type SandboxSource =
  | {
      type: 'git';
      url: string;
      revision?: string | undefined;
      depth?: number | undefined;
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

export type EndedBy =
  | 'exit'
  | 'timeout'
  | 'cancelled'
  | 'killed'
  | 'session_end'
  | 'out_of_memory'
  | 'sandbox_stopped';

/** Who asks for a kill; recorded as `endedBy` when the command ends from it. */
export type KillCause = 'killed' | 'cancelled' | 'session_end';

export interface Command {
  commandId: string;
  sandboxId: string;
  cmd: string;
  args: string[];
  cwd: string;
  status: 'running' | 'finished';
  /** Null while it runs; 128 + n after signal n. */
  exitCode: number | null;
  /** `SIGKILL`, `SIGTERM`, …; null when it was not ended by a signal. */
  signal: string | null;
  endedBy: EndedBy | null;
  startedAt: number;
  /** So far, while it runs. */
  durationMs: number;
  /** Bytes written by the command, dropped ones included. */
  stdoutBytes: number;
  stderrBytes: number;
}

export interface StartCommand {
  /** Chosen by the caller (`newCommandId`); starting the same id twice is a `conflict`, never a second run. */
  commandId: string;
  sandboxId: string;
  cmd: string;
  args: string[];
  /** Null means the sandbox's own working directory. Relative paths start there. */
  cwd: string | null;
  env: Record<string, string>;
  sudo: boolean;
  /** Kills the command (SIGTERM, then SIGKILL after a grace); null means no limit of its own. */
  timeoutMs: number | null;
}

export type OutputStream = 'stdout' | 'stderr';

/** A run of bytes of one stream, as captured. */
export interface OutputChunk {
  stream: OutputStream;
  /** Offset of the first byte in the selected byte sequence (both streams interleaved, or one of them). */
  offset: number;
  data: Buffer;
}

export interface OutputSlice {
  /** In order, without gaps except those that `dropped` tells. */
  chunks: OutputChunk[];
  /** Where to go on reading. */
  nextOffset: number;
  /** All bytes of the selected sequence that the command has written so far. */
  totalBytes: number;
  /** Bytes between `offset` and the end of `chunks` that the bounded log no longer holds. */
  droppedBytes: number;
}

export interface ReadOutput {
  stream: OutputStream | 'both';
  /** Negative counts from the end. */
  offset: number;
  /** At most this many bytes are answered. */
  limit: number;
}

export interface Commands {
  /** Starts a command and answers as soon as it runs. A program that does not exist is exit code 127, not an error. */
  start(request: StartCommand, signal: AbortSignal): Promise<Command>;
  get(commandId: string, signal: AbortSignal): Promise<Command>;
  /** The commands of a sandbox, oldest first. */
  list(sandboxId: string, signal: AbortSignal): Promise<Command[]>;
  /** Resolves when the command has finished; aborting ends the wait alone. */
  wait(commandId: string, signal: AbortSignal): Promise<Command>;
  /** Resolves when the output of both streams has grown past `totalBytes` or the command has finished. */
  waitForOutput(commandId: string, totalBytes: number, signal: AbortSignal): Promise<Command>;
  readOutput(commandId: string, request: ReadOutput, signal: AbortSignal): Promise<OutputSlice>;
  /** Sends a signal to every descendant. Killing a finished command is no error. */
  kill(commandId: string, signalName: string, cause: KillCause, signal: AbortSignal): Promise<Command>;
}

export interface FileStat {
  path: string;
  type: 'file' | 'directory';
  sizeBytes: number;
  mode: number;
}

export interface WriteFile {
  path: string;
  content: Buffer;
  /** Null keeps the mode of an existing file, and gives a new one 0644. */
  mode: number | null;
}

/** One entry of a directory tree in transit; `path` is relative, `''` for the root itself. */
export interface TreeEntry {
  path: string;
  type: 'file' | 'directory' | 'symlink';
  mode: number;
  /** The text of a symbolic link, never followed by the carrier. */
  linkTarget: string | null;
  /** The content of a file; read to its end before the next entry is asked for. */
  content: Readable | null;
}

/** Paths are the sandbox's; relative ones start at `cwd`, itself relative to the sandbox's own working directory. */
export interface Files {
  mkDir(sandboxId: string, path: string, cwd: string | null, signal: AbortSignal): Promise<{ path: string }>;
  /** Null when nothing is there. */
  stat(sandboxId: string, path: string, cwd: string | null, signal: AbortSignal): Promise<FileStat | null>;
  /** A regular file's bytes from `offset`, at most `limit`; null when nothing is there. A directory is `invalid_argument`. */
  read(
    sandboxId: string,
    path: string,
    cwd: string | null,
    range: { offset: number; limit: number },
    signal: AbortSignal,
  ): Promise<{ path: string; sizeBytes: number; data: Buffer } | null>;
  /** Parents are made; each file appears whole or not at all. Answers absolute paths. */
  write(
    sandboxId: string,
    files: WriteFile[],
    cwd: string | null,
    signal: AbortSignal,
  ): Promise<{ path: string; sizeBytes: number }[]>;
  /** A file or a whole directory as a stream of entries, constant memory. Missing is `not_found`. */
  readTree(
    sandboxId: string,
    path: string,
    cwd: string | null,
    signal: AbortSignal,
  ): AsyncIterable<TreeEntry>;
  /** The counterpart: nothing of a tree that was cut short stays behind. */
  writeTree(
    sandboxId: string,
    path: string,
    cwd: string | null,
    entries: AsyncIterable<TreeEntry>,
    signal: AbortSignal,
  ): Promise<{ path: string; files: number; bytes: number }>;
}

/** Present where an engine can expose ports. */
export interface Ports {
  /** Makes every exposed port of the sandbox reachable from here, until `close` of the engine or the sandbox's end. */
  open(sandboxId: string, signal: AbortSignal): Promise<void>;
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

/** Present where an engine can open terminals. */
export interface Shells {
  open(
    request: {
      sandboxId: string;
      command: string[];
      env: Record<string, string>;
      cwd: string | null;
      sudo: boolean;
      cols: number;
      rows: number;
    },
    signal: AbortSignal,
  ): Promise<{ input: NodeJS.WritableStream; output: Readable; resize(cols: number, rows: number): void }>;
}

/** Present where an engine can change the policy of a living sandbox. */
export interface NetworkPolicies {
  update(sandboxId: string, policy: NetworkPolicy, signal: AbortSignal): Promise<NetworkPolicy>;
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
  /** Limits of the contract that this host cannot enforce, each one sentence; empty is good. */
  notEnforced: string[];
}

/** One thing that `doctor` found, and what mends it. */
export interface Finding {
  level: 'ok' | 'warning' | 'error';
  /** One sentence. */
  text: string;
  /** Program and arguments of each step that mends it here, in order; empty where only a person can. */
  remedy: string[][];
  /** True where the remedy needs root. */
  remedyNeedsRoot: boolean;
  /** What a person has to do where `remedy` is empty or not for this machine. */
  advice: string | null;
}

/** Whether an engine works on this machine, by trying it. */
export interface Diagnosis {
  engine: EngineName;
  works: boolean;
  findings: Finding[];
}

export interface Engine {
  readonly name: EngineName;
  /** Makes a sandbox and answers once it is `running`. On failure or abort nothing of it is left. */
  create(request: CreateSandbox, signal: AbortSignal): Promise<Sandbox>;
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
  /** Lets go of what this process holds (forwards, connections); sandboxes stay as they are. */
  close(): Promise<void>;

  readonly commands: Commands;
  readonly files: Files;
  readonly ports?: Ports;
  readonly snapshots?: Snapshots;
  readonly shells?: Shells;
  readonly networkPolicies?: NetworkPolicies;
  readonly sources?: Sources;
}
