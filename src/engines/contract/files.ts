/** The part of the engine contract for the files of a sandbox. */
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
  /** Null keeps the mode of an existing file; a new file gets 0644. */
  mode: number | null;
}

/** One entry of a directory tree in transit; `path` is relative, `''` for the root itself. */
export interface TreeEntry {
  path: string;
  type: 'file' | 'directory' | 'symlink';
  mode: number;
  /**
   * Modification time of a file or directory, in milliseconds since 1970; without it, the time of writing. A
   * directory that exists already keeps its own.
   */
  mtimeMs?: number | undefined;
  /** The target of a symbolic link. It is never followed on the way. */
  linkTarget: string | null;
  /** The content of a file. Must be read to its end before the next entry is requested. */
  content: Readable | null;
}

/**
 * Receives what a tree leaves out: a path relative to its root, and the reason (`fifo`, `permission denied`).
 */
export type OnSkipped = (path: string, reason: string) => void;

/**
 * Paths are paths in the sandbox. Relative ones start at `cwd`, itself relative to the sandbox's working
 * directory.
 */
export interface Files {
  mkDir(sandboxId: string, path: string, cwd: string | null, signal: AbortSignal): Promise<{ path: string }>;
  /** Null if nothing exists there. */
  stat(sandboxId: string, path: string, cwd: string | null, signal: AbortSignal): Promise<FileStat | null>;
  /**
   * A regular file's bytes from `offset`, at most `limit`; null if nothing exists there. A directory is
   * `invalid_argument`.
   */
  read(
    sandboxId: string,
    path: string,
    cwd: string | null,
    range: { offset: number; limit: number },
    signal: AbortSignal,
  ): Promise<{ path: string; sizeBytes: number; data: Buffer } | null>;
  /** Creates parent directories. Each file is written atomically. Returns absolute paths. */
  write(
    sandboxId: string,
    files: WriteFile[],
    cwd: string | null,
    signal: AbortSignal,
  ): Promise<{ path: string; sizeBytes: number }[]>;
  /**
   * A file or directory tree as a stream of entries, in constant memory. A missing path is `not_found`. Below
   * the root, whatever is not a file, directory or symbolic link, or cannot be read, is left out and reported
   * to `onSkipped`.
   */
  readTree(
    sandboxId: string,
    path: string,
    cwd: string | null,
    signal: AbortSignal,
    onSkipped?: OnSkipped,
  ): AsyncIterable<TreeEntry>;
  /** The counterpart of the above: nothing of an incomplete tree is left behind. */
  writeTree(
    sandboxId: string,
    path: string,
    cwd: string | null,
    entries: AsyncIterable<TreeEntry>,
    signal: AbortSignal,
  ): Promise<{ path: string; files: number; bytes: number }>;
}
