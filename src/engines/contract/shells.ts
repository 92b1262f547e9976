/** The part of the engine contract for terminals. */

export interface OpenShell {
  sandboxId: string;
  /** Program and arguments. */
  command: string[];
  env: Record<string, string>;
  /** Null means the sandbox's own working directory. Relative paths start there. */
  cwd: string | null;
  sudo: boolean;
  /** The window size in character cells, each 1 to 1,000. */
  cols: number;
  rows: number;
}

/** 128 + n after signal n; SIGKILL if the sandbox ended while it ran. */
export interface ShellExit {
  exitCode: number;
  signal: string | null;
}

/**
 * A program on a terminal. `close`, the end of this process and the end of the sandbox each end its whole
 * process tree.
 */
export interface Shell {
  /** The program's output as it is written; ends before `exit` resolves. Unread output blocks the program. */
  readonly output: AsyncIterable<Buffer>;
  /** Never rejects. */
  readonly exit: Promise<ShellExit>;
  /** Types bytes. Resolves when the terminal has accepted them. If the shell has ended they are dropped. */
  write(data: Buffer): Promise<void>;
  resize(cols: number, rows: number): Promise<void>;
  /** Sends a hangup, then kills what is left. Resolves with the exit once nothing of the tree is left. */
  close(): Promise<ShellExit>;
}

/** Present if the engine can open terminals. */
export interface Shells {
  /** Resolves as soon as the program runs. A program that does not exist is exit code 127, not an error. */
  open(request: OpenShell, signal: AbortSignal): Promise<Shell>;
  /**
   * Present if sandboxes can be `interactive`: a `ws://` or `wss://` URL that opens one terminal, once. The
   * URL is the only credential. `unavailable` if the sandbox has no such port here.
   */
  interactiveUrl?(sandboxId: string, signal: AbortSignal): Promise<string>;
}
