/** The part of the engine contract for fetching from the git repositories of a sandbox. */

export interface UploadPack {
  sandboxId: string;
  /** Of the repository: relative to the workspace, or without one to the working directory. */
  path: string;
  /** The client's request, in git's pkt-line format; null to advertise the references. */
  request: string | null;
  /** The client's `Git-Protocol`, such as `version=2`; null if it sent none. */
  protocol: string | null;
}

/** Present if others can fetch from repositories in a sandbox. */
export interface GitRepositories {
  /**
   * Runs `git upload-pack --stateless-rpc` in the sandbox, as its user. It only reads. Its output comes as it
   * is written, and it waits for a slow reader; it is killed when the reader stops or the signal fires.
   *
   * @throws with the first chunk: `not_found` if there is no repository, `unsupported` without git, `conflict`
   *   unless the sandbox is running
   */
  uploadPack(request: UploadPack, signal: AbortSignal): AsyncIterable<Buffer>;
}
