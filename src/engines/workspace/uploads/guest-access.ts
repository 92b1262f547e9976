/** What an engine offers for workspaces that are uploaded, beyond its contract. */
import type { HostDirectory } from '../../../shared/fs/host-directory.ts';

/** An entry of a tree in a sandbox, without its content. */
export interface SurveyedEntry {
  /** Relative to the root of the tree, `''` for the root itself. */
  path: string;
  type: 'file' | 'directory' | 'symlink';
  /** Permission bits. */
  mode: number;
  sizeBytes: number;
  mtimeMs: number;
  /** The change time, which the kernel sets, in microseconds since 1970. */
  changedUs: number;
  linkTarget: string | null;
}

/** Why an entry is left out: it is no file, directory or link; or it is there, but cannot be read. */
export type LeftOut = 'special' | 'unreadable';
export type OnLeftOut = (path: string, why: LeftOut) => void;

export interface GuestAccess {
  /**
   * Everything below a directory of a running sandbox, parents first. No link is followed.
   *
   * @throws SandboxError unless the list is whole: what is missing from it counts as deleted
   */
  survey(
    sandboxId: string,
    path: string,
    signal: AbortSignal,
    onLeftOut: OnLeftOut,
  ): AsyncIterable<SurveyedEntry>;
  /**
   * The SHA-256 of files below a directory by their paths, without those that cannot be read. Absent where
   * reading a file takes no call over the network.
   */
  digests?(
    sandboxId: string,
    directory: string,
    paths: readonly string[],
    signal: AbortSignal,
  ): Promise<Map<string, Buffer>>;
  /** Runs a shell script with arguments as root of the sandbox. @throws SandboxError unless it exits with 0 */
  runAsRoot(sandboxId: string, script: string, args: string[], signal: AbortSignal): Promise<void>;
  /** Why this folder cannot be mounted, to complete "…, because"; null if it can, and need not be uploaded. */
  whyNotMounted(folder: HostDirectory): Promise<string | null>;
  /** The host's directory for files about a sandbox, which goes with its record. */
  directoryOf(sandboxId: string): string;
}
