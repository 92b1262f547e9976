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
  /**
   * The content of a file: whole if it is small, otherwise a stream, which must be read to its end before the
   * next entry is requested.
   */
  content: Buffer | Readable | null;
}

/**
 * Receives what a tree leaves out: a path relative to its root, and the reason (`fifo`, `permission denied`).
 */
export type OnSkipped = (path: string, reason: string) => void;

/**
 * An entry of a directory. `name` has one character per byte, so that names that are not UTF-8 keep their
 * order and can be passed back.
 */
export interface ListedEntry {
  name: string;
  type: 'file' | 'directory' | 'symlink' | 'other';
  /** Size and modification time, if details were requested; otherwise 0. */
  sizeBytes: number;
  mtimeMs: number;
}

export interface ListedDirectory {
  /** Sorted by bytes. */
  entries: ListedEntry[];
  /** Whether more entries follow the last one. */
  hasMore: boolean;
  /** The start of its .gitignore, one character per byte; empty if there is none. */
  ignoreFile: string;
  hasGit: boolean;
}

export interface ListDirectories {
  /** Absolute, one character per byte. */
  directories: string[];
  /** Only entries whose names sort after this one, in each directory. */
  after?: string | undefined;
  /** The maximum number of entries per directory; at most 20,000. */
  limit: number;
  details: boolean;
}

export interface ScanFiles {
  /** Absolute, one character per byte. */
  directory: string;
  /** Relative to the directory, one character per byte. */
  files: string[];
  /** At most 16 byte strings of which a line must contain one; every line if there are none. */
  literals: string[];
  /** Whether ASCII letters in literals match in either case. */
  ignoreCase: boolean;
}

/** What a scan reports of a file, named by its index. In the order of the files. */
export type ScanRecord =
  | {
      kind: 'line';
      file: number;
      /** From 1. */
      line: number;
      /** Of the first byte of `data` in the file. */
      offset: number;
      /** The line without its end; a part of it if it is longer than 16 KiB. */
      data: Buffer;
    }
  /** `end`: a large file has been scanned; `truncated`: only its start is scanned. */
  | { kind: 'binary' | 'unreadable' | 'truncated' | 'end'; file: number };

/** Lists and scans files of one sandbox. One request at a time. */
export interface FileExplorer {
  /** Null for a directory that does not exist or cannot be read. */
  list(request: ListDirectories): Promise<(ListedDirectory | null)[]>;
  /** Starts at once; the records must be read to their end before the next request. */
  scan(request: ScanFiles): AsyncIterable<ScanRecord>;
  close(): void;
}

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
  /** Opens an explorer. The signal ends it; it must be closed. */
  explore(sandboxId: string, signal: AbortSignal): Promise<FileExplorer>;
}
