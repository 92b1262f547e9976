/**
 * What the registry offers to the tools and the server: types alone.
 *
 * A session is one conversation. It knows whose sandbox is whose, which one is current, and keeps sandboxes alive
 * while their commands run.
 */
import type {
  Command,
  EngineLimits,
  EngineName,
  Files,
  KillCause,
  ListQuery,
  NetworkActivity,
  NetworkPolicy,
  OutputSlice,
  OutputStream,
  Page,
  ReadOutput,
  Runtimes,
  Sandbox,
  SandboxSource,
  Shell,
  ShellExit,
  Snapshot,
} from '../engines/engine.ts';
import type { ScreenView } from '../shared/text/terminal-screen.ts';
import type { Transfer, TransferRequest, TransferWork } from './transfer-types.ts';

export type * from './transfer-types.ts';

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
  softTimeoutMs?: number;
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
  waitForChange(changes: number, signal: AbortSignal): Promise<void>;
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
  /** `network` is null where the engine does not count connections. */
  sandboxes: (SandboxView & { ownership: 'owned' | 'attached'; network: NetworkActivity | null })[];
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

type WithoutId<Method> = Method extends (sandboxId: string, ...rest: infer Rest) => infer Result
  ? (...rest: Rest) => Result
  : never;

/** The files of one sandbox. Paths are the sandbox's; relative ones start at `cwd`, or at its working directory. */
export type SandboxFiles = { readonly [Name in keyof Files]: WithoutId<Files[Name]> };

/**
 * A sandbox that this session may use. The ownership check is made once, when the handle is made; whether the sandbox is
 * in a state that allows the work is checked by each call.
 */
export interface SandboxHandle {
  readonly sandboxId: string;
  readonly files: SandboxFiles;
  /** Always fresh. */
  view(signal: AbortSignal): Promise<SandboxView>;
  /** @throws `conflict`, with the next step, unless the sandbox is running */
  requireRunning(signal: AbortSignal): Promise<SandboxView>;
  extendTimeout(durationMs: number, signal: AbortSignal): Promise<SandboxView>;
  stop(signal: AbortSignal): Promise<SandboxView>;
  /** Snapshots the file system and stops the sandbox. Once begun it continues, and is recorded, when the signal fires. */
  snapshot(expirationMs: number | null, signal: AbortSignal): Promise<Snapshot>;
  /**
   * Replaces the network policy, after the same checks as a create, and records it as the requested one.
   *
   * @throws `unsupported` for an engine without policy updates or without the mode, `invalid_argument`, `conflict`
   */
  updateNetworkPolicy(policy: NetworkPolicy, signal: AbortSignal): Promise<SandboxView>;
  /** A `ws://` or `wss://` URL that opens one terminal, once. @throws `unsupported`, `unavailable` */
  terminalUrl(signal: AbortSignal): Promise<string>;
  /** Starts a command, counts it against the limits and keeps the sandbox alive while it runs. */
  run(request: RunRequest, signal: AbortSignal): Promise<SeenCommand>;
  /** The commands of this sandbox, oldest first. */
  commands(signal: AbortSignal): Promise<SeenCommand[]>;
  /**
   * Starts a transfer that continues without its caller, or joins the one that an equal request has started. The end of
   * the session or of the sandbox undoes it.
   */
  transfer(request: TransferRequest, work: TransferWork, signal: AbortSignal): Promise<Transfer>;
  /** Opens a terminal, counts it against the limits and keeps the sandbox alive while its program runs. */
  openShell(request: ShellRequest, signal: AbortSignal): Promise<ShellHandle>;
  /** Opens a terminal without a screen of ours, for a person who has one; not counted against the limits. */
  openRawShell(request: ShellRequest, signal: AbortSignal): Promise<Shell>;
}

/** A command of a sandbox that this session may use. */
export interface CommandHandle {
  readonly commandId: string;
  /** The sandbox that the command belongs to. */
  readonly sandbox: SandboxHandle;
  get(signal: AbortSignal): Promise<Command>;
  /** Resolves when the command has finished; the signal ends the wait, not the command. */
  wait(signal: AbortSignal): Promise<Command>;
  /** Sends a signal to the command and all its descendants. A finished command is no error. */
  kill(signalName: string, cause: KillCause, signal: AbortSignal): Promise<Command>;
  /** Captured output, by byte offset. */
  output(request: ReadOutput, signal: AbortSignal): Promise<OutputSlice>;
  /** Resolves when both streams together have grown past `totalBytes`, or the command has finished. */
  waitForOutput(totalBytes: number, signal: AbortSignal): Promise<Command>;
  /** Line ends in the bytes `[start, end)`, dropped ones included; null where the engine does not count them. */
  countLines(
    range: { stream: OutputStream; start: number; end: number },
    signal: AbortSignal,
  ): Promise<number | null>;
  /**
   * Registers a caller that waits for this command, until the returned function is called (at its end, or when the
   * caller is answered before). A command with a waiter does not outlive its session; any other is a background command.
   */
  addWaiter(): () => void;
}

/** A handle with the command as it was when the handle was made. */
export interface SeenCommand extends CommandHandle {
  readonly seen: Command;
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
