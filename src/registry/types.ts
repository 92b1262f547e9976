/**
 * What the registry offers to the tools and the server: types alone.
 *
 * A session is one conversation. It knows whose sandbox is whose, which one is current, and keeps sandboxes alive
 * while their commands run.
 */
import type {
  Command,
  Engine,
  EngineLimits,
  EngineName,
  KillCause,
  ListQuery,
  NetworkPolicy,
  Page,
  Runtimes,
  Sandbox,
  SandboxSource,
  ShellExit,
  Snapshot,
} from '../engines/engine.ts';
import type { ScreenView } from '../shared/text/terminal-screen.ts';

/** How a session came to its end. */
export type SessionEndReason =
  | 'stdin_closed'
  | 'signal'
  | 'parent_gone'
  | 'client_request'
  | 'idle'
  | 'shutdown';

export interface CreateRequest {
  runtime: string | null;
  ports: number[];
  timeoutMs: number | null;
  vcpus: number | null;
  env: Record<string, string>;
  networkPolicy: NetworkPolicy | null;
  source: SandboxSource | null;
  interactive: boolean;
  keep: boolean;
}

/** How a caller waits for a sandbox that is being made. */
export interface CreateWait {
  /** After so many milliseconds the sandbox is answered as it is then, `pending`, and made on; left out, never. */
  patienceMs?: number;
  /** Shows a line of progress. */
  report?: (line: string) => void;
}

/** A sandbox as answered: the engine's facts and the registry's. */
export interface SandboxView extends Sandbox {
  keep: boolean;
}

export interface RunRequest {
  cmd: string;
  args: string[];
  cwd: string | null;
  env: Record<string, string>;
  sudo: boolean;
  timeoutMs: number | null;
}

export interface ShellRequest {
  /** Program and arguments. */
  command: string[];
  cwd: string | null;
  env: Record<string, string>;
  sudo: boolean;
  cols: number;
  rows: number;
}

/** What is on a shell's terminal, and the way to type on it. */
export interface Terminal {
  /** Null while the program runs. */
  readonly exit: ShellExit | null;
  /** Grows with whatever is written. */
  readonly changes: number;
  /** Where the output stands, for `outputSince`. */
  readonly position: number;
  /** True while the program wants arrow keys in their application form. */
  readonly applicationCursor: boolean;
  view(): ScreenView;
  outputSince(position: number): string;
  /** Readable output since the last call. */
  takeOutput(): string;
  /** @throws `conflict` where the program has left too much of its input unread */
  type(text: string): void;
  resize(cols: number, rows: number): Promise<void>;
  /** Resolves once `changes` has moved on from this number, at the end, or when the signal fires. */
  news(changes: number, signal: AbortSignal): Promise<void>;
}

export interface ShellInfo {
  shellId: string;
  sandboxId: string;
  command: string[];
  openedAt: number;
}

/** A shell that this session opened. */
export interface ShellHandle {
  readonly shellId: string;
  readonly sandboxId: string;
  readonly terminal: Terminal;
  /** Ends it with everything it started; its last screen can be looked at until it is forgotten. */
  end(): Promise<void>;
  forget(): void;
}

export interface SessionLimits {
  maxSandboxes: number;
  maxRunningCommands: number;
  maxShells: number;
  maxVcpus: number;
  maxSnapshots: number;
  maxLifetimeMs: number;
}

export interface SessionInfo {
  sessionId: string;
  engine: EngineName;
  currentSandboxId: string | null;
  sandboxes: (SandboxView & { ownership: 'owned' | 'attached' })[];
  /** Commands that this session started and that still run, newest first. */
  commands: Command[];
  /** Shells that this session opened and that still run, newest first. */
  shells: ShellInfo[];
  limits: SessionLimits;
  engineLimits: EngineLimits;
  runtimes: Runtimes;
  /** Capability groups that this engine has. */
  capabilities: string[];
}

/** How much of a transfer has gone over so far. */
export interface TransferProgress {
  files: number;
  bytes: number;
}

export interface TransferResult extends TransferProgress {
  localPath: string;
  remotePath: string;
  /** Of a single file; null for a directory. */
  sha256: string | null;
  /** Entries that were left out, and the first of them with the reason. */
  skipped: number;
  skippedPaths: string[];
}

export interface TransferRequest {
  direction: 'upload' | 'download';
  /** All that decides what is carried where, in one form: the same values mean the same transfer. */
  arguments: readonly unknown[];
}

/**
 * Carries it over and reports each file and run of bytes; when the signal fires, undoes what it has done and rejects.
 * `note` is told of each unfinished path on this machine before it is made, for whoever comes where this process dies.
 */
export type TransferWork = (
  signal: AbortSignal,
  report: (files: number, bytes: number) => void,
  note: (path: string) => Promise<void>,
) => Promise<TransferResult>;

/** A transfer under way or ended, as one call sees it. */
export interface Transfer {
  /** True for the call that began it, false for one that has joined. */
  readonly begun: boolean;
  readonly result: Promise<TransferResult>;
  soFar(): TransferProgress;
  /** Calls back whenever it has come further, until the answered function is called. */
  watch(listener: () => void): () => void;
  /** Says that a caller has the result, so that it need not be kept. */
  fetched(): void;
  /** Ends it and resolves when it is undone. Never rejects. */
  cancel(): Promise<void>;
}

/** A sandbox that this session may work in. Each call checks that it is alive where the work needs that. */
export interface SandboxHandle {
  readonly sandboxId: string;
  readonly engine: Engine;
  /** Always fresh. */
  view(signal: AbortSignal): Promise<SandboxView>;
  /** `conflict`, with the way on, unless the sandbox is running. */
  requireRunning(signal: AbortSignal): Promise<SandboxView>;
  extendTimeout(durationMs: number, signal: AbortSignal): Promise<SandboxView>;
  stop(signal: AbortSignal): Promise<SandboxView>;
  /** Stops the sandbox and keeps its files. What has begun goes on, and is recorded, when the signal fires. */
  snapshot(expirationMs: number | null, signal: AbortSignal): Promise<Snapshot>;
  /** Starts a command, counts it against the limits and leases the sandbox's time while it runs. */
  run(request: RunRequest, signal: AbortSignal): Promise<Command>;
  /**
   * Begins a transfer that goes on without its caller, or joins the one that the same request has begun. The end of the
   * session or of the sandbox undoes it.
   */
  transfer(request: TransferRequest, work: TransferWork, signal: AbortSignal): Promise<Transfer>;
  /** Opens a terminal, counts it against the limits and leases the sandbox's time while its program runs. */
  openShell(request: ShellRequest, signal: AbortSignal): Promise<ShellHandle>;
}

/** A command of a sandbox that this session may see. */
export interface CommandHandle {
  readonly commandId: string;
  readonly sandboxId: string;
  readonly engine: Engine;
  get(signal: AbortSignal): Promise<Command>;
  kill(signalName: string, cause: KillCause, signal: AbortSignal): Promise<Command>;
}

/** The snapshots that a principal took; they outlive every session. Another's is `not_found`. */
export interface SessionSnapshots {
  get(snapshotId: string, signal: AbortSignal): Promise<Snapshot>;
  /** Newest first. */
  list(query: ListQuery, signal: AbortSignal): Promise<Page<Snapshot>>;
  delete(snapshotId: string, signal: AbortSignal): Promise<Snapshot>;
}

export interface Session {
  readonly sessionId: string;
  /** Who the conversation belongs to; `local` on stdio. */
  readonly principal: string;
  readonly engine: Engine;
  readonly limits: SessionLimits;
  readonly snapshots: SessionSnapshots;
  /** Cancelling undoes it, until it is answered. */
  create(request: CreateRequest, signal: AbortSignal, wait?: CreateWait): Promise<SandboxView>;
  /** `sandbox_get`: makes it current, attaches it where it is not this session's own, takes up what needs a living process. */
  attach(sandboxId: string | undefined, signal: AbortSignal): Promise<SandboxView>;
  /** The sandboxes that this principal may see, newest first. */
  list(query: ListQuery, signal: AbortSignal): Promise<Page<SandboxView>>;
  /** The named sandbox or the current one. None: `not_found` that says to create one; another principal's: `not_found`. */
  sandbox(sandboxId: string | undefined): Promise<SandboxHandle>;
  /** The command, found by its id alone, also in a sandbox that has ended or that another session made. */
  command(commandId: string): Promise<CommandHandle>;
  /** A shell of this session, running or ended; `not_found` for any other. */
  shell(shellId: string): ShellHandle;
  info(signal: AbortSignal): Promise<SessionInfo>;
  /**
   * Says that a caller waits for this command, until the answered function is called (at its end or at the hand-off).
   * The end of the session kills such commands with `session_end`, in sandboxes that live on as well.
   */
  attend(commandId: string): () => void;
  /** Ends the conversation: kills what it waits for, stops what it owns (policy permitting). Bounded and idempotent. */
  end(reason: SessionEndReason): Promise<void>;
}

/** All sessions of this process, over one engine and one store of ownership records. */
export interface Registry {
  openSession(principal: string): Session;
  /** Stops and removes what dead owners left, forgets what is past its retention. Answers what was done, for the log. */
  recover(signal: AbortSignal): Promise<{
    stopped: string[];
    forgotten: string[];
    /** What could not be dealt with, in words for people; it is left to the next recovery. */
    failed: { id: string; reason: string }[];
  }>;
  /** Ends every session, then closes the engine. */
  close(reason: SessionEndReason): Promise<void>;
}
