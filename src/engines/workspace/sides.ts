/** What comparing and applying needs of the two sides of a workspace. */
import type { BigIntStats } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';

/** The files of one side. Paths are relative to the workspace; links are not followed. */
export interface SideFiles {
  /** At most `limit` bytes of a file, or the target of a link; null for anything else. */
  read(path: string, limit: number, signal: AbortSignal): Promise<Buffer | null>;
  /** The hash of a file's content. Null for anything but a regular file of that size. */
  digest(path: string, size: number, signal: AbortSignal): Promise<Buffer | null>;
  /** Opens a regular file; null for anything else. The caller closes it. */
  open(path: string, signal: AbortSignal): Promise<FileHandle | null>;
  /** The target of a link; null for anything else. */
  target(path: string): Promise<string | null>;
}

/** A file that the sandbox has written, or a name that it has deleted. */
export interface SandboxEntry {
  /** `f` file, `d` directory, `l` link, `w` deleted, `o` anything else. */
  kind: 'f' | 'd' | 'l' | 'w' | 'o';
  path: string;
  mode: number;
  size: number;
  mtimeNs: bigint;
  /** Whether the sandbox had the file from the folder, and changed it. */
  copied: boolean;
  /** A directory that hides the folder's. */
  opaque: boolean;
}

/** The sandbox's side. */
export interface SandboxFiles extends SideFiles {
  /**
   * What may differ from the folder, directories before their contents, and how many names are not UTF-8.
   *
   * @throws `limit_exceeded` for more entries than can be listed
   */
  list(signal: AbortSignal): Promise<{ entries: SandboxEntry[]; unreadable: number }>;
  /** Gets these files ready to be opened one after the other. Returns those that cannot be read. */
  prepare(entries: readonly { path: string; sizeBytes: number }[], signal: AbortSignal): Promise<string[]>;
}

/** What the sandbox has seen of the folder. */
export interface SeenFolder {
  /** Whether the folder's file is another one than the sandbox saw. */
  isChanged(path: string, now: BigIntStats, signal: AbortSignal): Promise<boolean>;
  /** Whether the folder has lost the file that the sandbox has changed. */
  isDeleted(entry: SandboxEntry): Promise<boolean>;
}
