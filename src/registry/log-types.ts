/** The lines of a command's output, as the tools see them. Types only. */
import type { OutputStream } from '../engines/engine.ts';

/** For each stream, the offset before which everything has been returned. */
export interface Positions {
  stdout: number;
  stderr: number;
}

/** A position in the logs of a command, valid in every process that can read them. */
export interface LogCursor extends Positions {
  /** Lines of context that still belong to a match on the previous page. */
  after: number;
  /**
   * Bytes of both streams that were shown, unfinished lines included: waiting for output continues from here.
   */
  seen: number;
}

export interface LogLine {
  stream: OutputStream;
  data: string;
  /** The line has no newline yet. A later page returns all of it. */
  partial?: true;
}

export interface LogsRequest {
  /** Null starts at the beginning. */
  cursor: LogCursor | null;
  /** Lines at most. */
  limit: number;
  stream: OutputStream | 'both';
  /** Lines around each match. */
  context: number;
  /** Null takes every line. */
  matches: ((text: string) => boolean) | null;
  waitMs: number;
}

export interface Logs {
  lines: LogLine[];
  cursor: LogCursor;
  /** The command has finished, none of its processes is known to run, and every line was returned. */
  done: boolean;
  /** The command has finished, but processes that it started still run. */
  leftBehind: boolean;
  /** Everything written so far was read. */
  atEnd: boolean;
  /** Bytes before or between these lines that the bounded log no longer holds. */
  droppedBytes: number;
  /** Bytes of binary lines, in which `matches` did not look. */
  unsearchedBytes: number;
  /** A line shows characters in place of bytes that are not UTF-8, or of NUL. */
  isReplaced: boolean;
}
