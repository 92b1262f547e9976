/**
 * The interface of the registry for the tools and the server. Types only.
 *
 * A session is one conversation. It knows which sandboxes it owns and which one is current, and keeps
 * sandboxes alive while their commands run.
 */

import type {
  Command,
  EngineLimits,
  EngineName,
  Files,
  KillCause,
  Listener,
  ListQuery,
  NetworkActivity,
  NetworkPolicy,
  OutputSlice,
  OutputStream,
  Page,
  ReadOutput,
  Runtimes,
  Sandbox,
  Shell,
  Snapshot,
  UploadPack,
  Workspaces,
} from '../engines/engine.ts';
import type { Logs, LogsRequest } from './log-types.ts';
import type { ExposedPort, SandboxOwner } from './port-types.ts';
import type { CreateRequest, CreateWait, SnapshotRequest, TakenSnapshot } from './request-types.ts';
import type { SessionOptions, SessionState } from './session-state.ts';
import type { ShellHandle, ShellInfo, ShellRequest } from './shell-types.ts';
import type { Transfer, TransferRequest, TransferWork } from './transfer-types.ts';

export type * from './log-types.ts';
export type * from './port-types.ts';
export type * from './request-types.ts';
export type * from './session-state.ts';
export type * from './shell-types.ts';
export type * from './transfer-types.ts';

/** How a session ended. */
export type SessionEndReason = 'stdin_closed' | 'signal' | 'parent_gone' | 'shutdown' | 'deleted' | 'idle';

/** A sandbox as returned to callers: the engine's state and the registry's. */
export interface SandboxView extends Sandbox {
  keep: boolean;
}

export interface RunRequest {
  cmd: string;
  args: string[];
  cwd: string | null;
  env: Record<string, string>;
  sudo: boolean;
  stdin?: string | undefined;
  timeoutMs: number | null;
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
  /** `network` is null if the engine does not count connections, `listening` if it cannot tell now. */
  sandboxes: (SandboxView & {
    ownership: 'owned' | 'attached';
    network: NetworkActivity | null;
    listening: Listener[] | null;
  })[];
  /** Running commands of this session, newest first. */
  commands: Command[];
  /** Running shells of this session, newest first. */
  shells: ShellInfo[];
  limits: SessionLimits;
  engineLimits: EngineLimits;
  runtimes: Runtimes;
  /** Optional capability groups of this engine. */
  capabilities: string[];
}

type WithoutId<Method> = Method extends (sandboxId: string, ...rest: infer Rest) => infer Result
  ? (...rest: Rest) => Result
  : never;

/**
 * File operations in one sandbox. Paths are paths in the sandbox; relative ones start at `cwd`, or else at
 * its working directory.
 */
export type SandboxFiles = { readonly [Name in keyof Files]: WithoutId<Files[Name]> };

/** The workspace of one sandbox. */
export type SandboxWorkspace = { readonly [Name in keyof Workspaces]: WithoutId<Workspaces[Name]> };

/**
 * A sandbox that this session may use. Ownership is checked once, when the handle is made; whether the state
 * of the sandbox allows an operation is checked by each call.
 */
export interface SandboxHandle {
  readonly sandboxId: string;
  readonly files: SandboxFiles;
  /** @throws `unsupported` for an engine without workspaces */
  workspace(): SandboxWorkspace;
  /** Queries the current state. */
  view(signal: AbortSignal): Promise<SandboxView>;
  /** @throws `conflict`, with the next step, unless the sandbox is running */
  requireRunning(signal: AbortSignal): Promise<SandboxView>;
  extendTimeout(durationMs: number, signal: AbortSignal): Promise<SandboxView>;
  stop(signal: AbortSignal): Promise<SandboxView>;
  /**
   * Snapshots the file system and stops the sandbox. Once started, it completes and is recorded even if the
   * signal fires. With `keepRunning`, copies the files of the sandbox instead, which goes on.
   *
   * @throws `unsupported` for `keepRunning` on an engine without it; `conflict` for the name of a runtime, or
   *   if the sandbox would end with changes of its workspace that are not applied
   */
  snapshot(request: SnapshotRequest, signal: AbortSignal): Promise<TakenSnapshot>;
  /**
   * Replaces the network policy, after the same checks as a create, and records it as the requested one.
   *
   * @throws `unsupported` for an engine without policy updates or without the mode, `invalid_argument`,
   *   `conflict`
   */
  updateNetworkPolicy(policy: NetworkPolicy, signal: AbortSignal): Promise<SandboxView>;
  /** @throws `unsupported` for an engine without ports, `limit_exceeded`, `conflict` */
  exposePort(port: number, signal: AbortSignal): Promise<SandboxView>;
  /** The TCP ports that programs inside listen on; null for an engine that cannot tell. */
  listeners(signal: AbortSignal): Promise<Listener[] | null>;
  /**
   * A `ws://` or `wss://` URL that opens one terminal and works once. @throws `unsupported`, `unavailable`
   */
  terminalUrl(signal: AbortSignal): Promise<string>;
  /** The URL at which `git fetch` reaches the workspace or working directory; null if none is served. */
  gitUrl(): Promise<string | null>;
  /** Starts a command, counts it against the limits and keeps the sandbox alive while it runs. */
  run(request: RunRequest, signal: AbortSignal): Promise<SeenCommand>;
  /** The commands of this sandbox, oldest first. */
  commands(signal: AbortSignal): Promise<SeenCommand[]>;
  /**
   * Starts a transfer that continues without its caller, or joins a running one with an equal request. The
   * end of the session or of the sandbox undoes it.
   */
  transfer(request: TransferRequest, work: TransferWork, signal: AbortSignal): Promise<Transfer>;
  /** Opens a terminal, counts it against the limits and keeps the sandbox alive while its program runs. */
  openShell(request: ShellRequest, signal: AbortSignal): Promise<ShellHandle>;
  /**
   * Opens a terminal without an emulated screen, for a person at a real one. Not counted against the limits.
   */
  openRawShell(request: ShellRequest, signal: AbortSignal): Promise<Shell>;
}

/** A command of a sandbox that this session may use. */
export interface CommandHandle {
  readonly commandId: string;
  /** The sandbox that the command belongs to. */
  readonly sandbox: SandboxHandle;
  get(signal: AbortSignal): Promise<Command>;
  /** Resolves when the command has finished. The signal ends the wait, not the command. */
  wait(signal: AbortSignal): Promise<Command>;
  /** Sends a signal to the command and all its descendants. A finished command is not an error. */
  kill(signalName: string, cause: KillCause, signal: AbortSignal): Promise<Command>;
  /** Captured output, by byte offset. */
  output(request: ReadOutput, signal: AbortSignal): Promise<OutputSlice>;
  /**
   * Lines from a cursor on, then the unfinished ones. If there is nothing new yet and more may come, waits
   * for up to `waitMs` milliseconds.
   */
  logs(request: LogsRequest, signal: AbortSignal): Promise<Logs>;
  /** Resolves when both streams together have more than `totalBytes`, or the command has finished. */
  waitForOutput(totalBytes: number, signal: AbortSignal): Promise<Command>;
  /** The number of line ends in the bytes `[start, end)`, including dropped ones. Null if unknown. */
  countLines(
    range: { stream: OutputStream; start: number; end: number },
    signal: AbortSignal,
  ): Promise<number | null>;
  /**
   * Registers a caller that waits for this command, until the returned function is called (when the command
   * ends, or when the caller is answered earlier). A command with a waiter does not outlive its session; any
   * other is a background command.
   */
  addWaiter(): () => void;
}

/** A handle with the command as it was when the handle was made. */
export interface SeenCommand extends CommandHandle {
  readonly seen: Command;
}

/** What was made from a snapshot. */
export interface SnapshotDependents {
  /** Sandboxes that have not ended. */
  sandboxIds: string[];
  snapshotIds: string[];
}

/** The snapshots of a principal. They outlive sessions. Another principal's snapshot is `not_found`. */
export interface SessionSnapshots {
  get(snapshotId: string, signal: AbortSignal): Promise<Snapshot>;
  /** Newest first. */
  list(query: ListQuery, signal: AbortSignal): Promise<Page<Snapshot>>;
  delete(snapshotId: string, signal: AbortSignal): Promise<Snapshot>;
  dependents(snapshotId: string): Promise<SnapshotDependents>;
}

export interface Session {
  readonly sessionId: string;
  /** Who the conversation belongs to; `local` on stdio. */
  readonly principal: string;
  readonly limits: SessionLimits;
  readonly snapshots: SessionSnapshots;
  /** How many sandboxes this session has created, including those that have ended. */
  readonly created: number;
  /** Until it has returned, cancelling undoes it. */
  create(request: CreateRequest, signal: AbortSignal, wait?: CreateWait): Promise<SandboxView>;
  /**
   * `sandbox_get`: selects the sandbox, attaches to it if another session created it, and opens what needs a
   * living process. It also starts a stopped persistent sandbox again, unless `resume` is false.
   */
  attach(
    sandboxId: string | undefined,
    signal: AbortSignal,
    options?: { resume?: boolean },
  ): Promise<SandboxView>;
  /** The sandboxes that this principal may see, newest first. */
  list(query: ListQuery, signal: AbortSignal): Promise<Page<SandboxView>>;
  /**
   * The named sandbox, or the current one. `not_found` if there is none (the hint says to create one) or if
   * it is another principal's.
   */
  sandbox(sandboxId: string | undefined): Promise<SandboxHandle>;
  /** Whether this session has created the sandbox, so that it ends with the session. */
  owns(sandboxId: string): Promise<boolean>;
  /** Finds a command by its id only, even in a sandbox that has ended or that another session created. */
  command(commandId: string): Promise<CommandHandle>;
  /** A shell of this session, running or ended. `not_found` for any other. */
  shell(shellId: string): ShellHandle;
  info(signal: AbortSignal): Promise<SessionInfo>;
  /**
   * Ends the conversation: kills awaited commands and stops owned sandboxes (if policy permits). Bounded and
   * idempotent.
   */
  end(reason: SessionEndReason): Promise<void>;
}

/** A session that can move from one replica to another. */
export interface MovableSession extends Session {
  readonly state: SessionState;
  /** Takes over the sandboxes, commands and unfinished creates that the session had on another replica. */
  resume(): Promise<void>;
  /** Ends the session here alone: its sandboxes, commands and creates continue, for the replica that resumes it. */
  leave(): Promise<void>;
}

/** All sessions of this process, on one engine and one store of ownership records. */
export interface Registry {
  openSession(principal: string, options?: SessionOptions): MovableSession;
  /**
   * Stops and removes what dead owners left, and removes what is past its retention. Returns what was done,
   * for the log. `includeDamaged` also ends and removes sandboxes with damaged ownership records, which nothing
   * else does: they may be in use.
   */
  recover(
    signal: AbortSignal,
    options?: { includeDamaged?: boolean },
  ): Promise<{
    stopped: string[];
    forgotten: string[];
    /** What could not be recovered, as readable messages. It is left for the next recovery. */
    failed: { id: string; reason: string }[];
  }>;
  /**
   * What exists now: sandboxes of this engine not owned by other servers (by sessions that other replicas serve),
   * and commands and shells of this server.
   */
  usage(): Promise<{ sandboxes: number; commands: number; shells: number }>;
  /** From now on, sandboxes show these URLs for the ports that are forwarded to this machine. */
  publishPorts(urlOf: (port: ExposedPort) => string): void;
  /** The address on this machine where this process forwards a port; null if it does not. */
  forwardedUrl(sandboxId: string, port: number): string | null;
  /** From now on, sandboxes show these URLs for their git repositories. */
  publishRepositories(urlOf: (sandbox: SandboxOwner) => string | Promise<string>): void;
  /** Runs `git upload-pack` in a sandbox. @throws as the engine does; `unsupported` for one without git */
  uploadPack(request: UploadPack, signal: AbortSignal): AsyncIterable<Buffer>;
  /** Ends every session, then closes the engine. */
  close(reason: SessionEndReason): Promise<void>;
}
