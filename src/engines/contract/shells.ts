/** The part of the engine contract about terminals. */

export interface OpenShell {
  sandboxId: string;
  /** Program and arguments. */
  command: string[];
  env: Record<string, string>;
  /** Null means the sandbox's own working directory. Relative paths start there. */
  cwd: string | null;
  sudo: boolean;
  /** The window in character cells, each 1 to 1,000. */
  cols: number;
  rows: number;
}

/** 128 + n after signal n; SIGKILL where the sandbox ended under it. */
export interface ShellExit {
  exitCode: number;
  signal: string | null;
}

/** A program on a terminal. Its whole tree ends with `close`, with this process, and with the sandbox. */
export interface Shell {
  /** What the program writes, as it writes it; ends before `exit` resolves. Unread output makes the program wait. */
  readonly output: AsyncIterable<Buffer>;
  /** Never rejects. */
  readonly exit: Promise<ShellExit>;
  /** Types bytes. Resolves when the terminal has taken them off this process; dropped where the shell has ended. */
  write(data: Buffer): Promise<void>;
  resize(cols: number, rows: number): Promise<void>;
  /** Hangs up, then kills what is left. Resolves with how it ended once nothing of it is left. */
  close(): Promise<ShellExit>;
}

/** Present where an engine can open terminals. */
export interface Shells {
  /** Answers as soon as the program runs. A program that does not exist is exit code 127, not an error. */
  open(request: OpenShell, signal: AbortSignal): Promise<Shell>;
  /**
   * Present where sandboxes can be `interactive`: a `ws://` or `wss://` address that opens one terminal, once. Whoever has
   * it is let in. `unavailable` where the sandbox has no such port here.
   */
  interactiveUrl?(sandboxId: string, signal: AbortSignal): Promise<string>;
}
