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
  Sandbox,
  SandboxSource,
} from '../engines/engine.ts';

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

export interface SessionLimits {
  maxSandboxes: number;
  maxRunningCommands: number;
  maxVcpus: number;
  maxLifetimeMs: number;
}

export interface SessionInfo {
  sessionId: string;
  engine: EngineName;
  currentSandboxId: string | null;
  sandboxes: (SandboxView & { ownership: 'owned' | 'attached' })[];
  /** Commands that this session started and that still run, newest first. */
  commands: Command[];
  limits: SessionLimits;
  engineLimits: EngineLimits;
  /** Capability groups that this engine has. */
  capabilities: string[];
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
  /** Starts a command, counts it against the limits and leases the sandbox's time while it runs. */
  run(request: RunRequest, signal: AbortSignal): Promise<Command>;
}

/** A command of a sandbox that this session may see. */
export interface CommandHandle {
  readonly commandId: string;
  readonly sandboxId: string;
  readonly engine: Engine;
  get(signal: AbortSignal): Promise<Command>;
  kill(signalName: string, cause: KillCause, signal: AbortSignal): Promise<Command>;
}

export interface Session {
  readonly sessionId: string;
  /** Who the conversation belongs to; `local` on stdio. */
  readonly principal: string;
  readonly engine: Engine;
  readonly limits: SessionLimits;
  create(request: CreateRequest, signal: AbortSignal): Promise<SandboxView>;
  /** `sandbox_get`: makes it current, attaches it where it is not this session's own, takes up what needs a living process. */
  attach(sandboxId: string | undefined, signal: AbortSignal): Promise<SandboxView>;
  /** The sandboxes that this principal may see, newest first. */
  list(query: ListQuery, signal: AbortSignal): Promise<Page<SandboxView>>;
  /** The named sandbox or the current one. None: `not_found` that says to create one; another principal's: `not_found`. */
  sandbox(sandboxId: string | undefined): Promise<SandboxHandle>;
  /** The command, found by its id alone, also in a sandbox that has ended or that another session made. */
  command(commandId: string): Promise<CommandHandle>;
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
