/** The part of the engine contract about the files of a sandbox. */
import type { Readable } from 'node:stream';

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
