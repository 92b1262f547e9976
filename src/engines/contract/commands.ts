/** The part of the engine contract about running commands and reading what they wrote. */

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
  /** True where it has finished and something that it started runs on; left out by an engine that cannot tell. */
  hasLiveProcesses?: boolean;
  /** True where the kernel was seen to kill something in its sandbox for lack of memory while it ran. */
  ranOutOfMemory?: boolean;
}

export interface StartCommand {
  /** Chosen by the caller (`newCommandId`); starting the same id twice is a `conflict`, never a second run. */
  commandId: string;
  sandboxId: string;
  cmd: string;
  args: string[];
  /** Null means the sandbox's own working directory. Relative paths start there. */
  cwd: string | null;
  /** `${secret:NAME}` in a value is filled in by the engine when the program starts (`SecretStore.fillEnv`). */
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
  /**
   * Line ends among the bytes `[start, end)` of a stream, those included that the log no longer holds; null where that is
   * not known. Left out by an engine that cannot tell without reading.
   */
  countLines?(
    commandId: string,
    range: { stream: OutputStream; start: number; end: number },
    signal: AbortSignal,
  ): Promise<number | null>;
  /** Sends a signal to every descendant. Killing a finished command is no error. */
  kill(commandId: string, signalName: string, cause: KillCause, signal: AbortSignal): Promise<Command>;
}
