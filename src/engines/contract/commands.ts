/** The part of the engine contract for running commands and reading their output. */

export type EndedBy =
  | 'exit'
  | 'timeout'
  | 'cancelled'
  | 'killed'
  | 'session_end'
  | 'out_of_memory'
  | 'sandbox_stopped';

/** Who requested a kill; recorded as `endedBy` if it ends the command. */
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
  /** `SIGKILL`, `SIGTERM`, …; null if no signal ended it. */
  signal: string | null;
  endedBy: EndedBy | null;
  startedAt: number;
  /** So far, while the command runs. */
  durationMs: number;
  /** Bytes written by the command, dropped ones included. */
  stdoutBytes: number;
  stderrBytes: number;
  /**
   * True if the command has finished and processes that it started still run. Absent if the engine cannot
   * tell.
   */
  hasLiveProcesses?: boolean;
  /** True if the kernel killed a process in the sandbox for lack of memory while the command ran. */
  ranOutOfMemory?: boolean;
}

export interface StartCommand {
  /**
   * Chosen by the caller (`newCommandId`); starting the same id twice is a `conflict`, never a second run.
   */
  commandId: string;
  sandboxId: string;
  cmd: string;
  args: string[];
  /** Null means the sandbox's own working directory. Relative paths start there. */
  cwd: string | null;
  /** The engine fills in `${secret:NAME}` in values when the program starts (`SecretStore.fillEnv`). */
  env: Record<string, string>;
  sudo: boolean;
  /** What the program reads from standard input, without NUL; absent: nothing. */
  stdin?: string | undefined;
  /**
   * The command is killed after this long (SIGTERM, then SIGKILL after a grace period); null means no limit.
   */
  timeoutMs: number | null;
}

export type OutputStream = 'stdout' | 'stderr';

/** Consecutive bytes of one stream, as captured. */
export interface OutputChunk {
  stream: OutputStream;
  /** Offset of the first byte in the selected byte sequence (both streams interleaved, or one of them). */
  offset: number;
  data: Buffer;
}

export interface OutputSlice {
  /** In order, without gaps other than those counted by `dropped`. */
  chunks: OutputChunk[];
  /** The offset at which to continue reading. */
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
  /** The maximum number of bytes to return. */
  limit: number;
}

export interface Commands {
  /**
   * Starts a command and resolves as soon as it runs. A program that does not exist is exit code 127, not an
   * error.
   */
  start(request: StartCommand, signal: AbortSignal): Promise<Command>;
  get(commandId: string, signal: AbortSignal): Promise<Command>;
  /** The commands of a sandbox, oldest first. */
  list(sandboxId: string, signal: AbortSignal): Promise<Command[]>;
  /** Resolves when the command has finished. Aborting ends only the wait. */
  wait(commandId: string, signal: AbortSignal): Promise<Command>;
  /** Resolves when the output of both streams has grown past `totalBytes` or the command has finished. */
  waitForOutput(commandId: string, totalBytes: number, signal: AbortSignal): Promise<Command>;
  readOutput(commandId: string, request: ReadOutput, signal: AbortSignal): Promise<OutputSlice>;
  /**
   * Line ends in the bytes `[start, end)` of a stream, including those that the log no longer holds; null if
   * unknown.
   */
  countLines(
    commandId: string,
    range: { stream: OutputStream; start: number; end: number },
    signal: AbortSignal,
  ): Promise<number | null>;
  /** Sends a signal to the command and all its descendants. Signalling a finished command is not an error. */
  kill(commandId: string, signalName: string, cause: KillCause, signal: AbortSignal): Promise<Command>;
}
