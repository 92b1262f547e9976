/** Images: root file systems that were imported, and runtimes that were fetched. */

export interface Image {
  name: string;
  /** `rootfs`: a root file system of its own; `node`: a Node release over the host's files. */
  kind: 'rootfs' | 'node';
  /** Of a Node release. */
  version: string | null;
  /** As Node names it: `x64`, `arm64`. */
  arch: string;
  sizeBytes: number;
  createdAt: number;
  /** Ids of the living sandboxes and the snapshots that stand on it. */
  usedBy: string[];
  /** What is not as it was in the archive, in words. */
  notes: string[];
}

export interface ImportImage {
  name: string;
  /** Path of a tar archive on this host, plain or compressed with gzip or zstd. */
  archive: string;
  /** Bytes that it may become when it is unpacked. */
  maxBytes: number;
}

/** Present where an engine can run sandboxes on root file systems of one's own. */
export interface Images {
  /**
   * Takes an archive over as the runtime `name`. On failure and on abort nothing of it is left.
   *
   * @throws `conflict` where the name is taken, `invalid_argument` or `unsupported` for the archive, `limit_exceeded`
   */
  import(request: ImportImage, signal: AbortSignal): Promise<Image>;
  /** By name. */
  list(signal: AbortSignal): Promise<Image[]>;
  /** @throws `not_found`, or `conflict` naming the sandboxes and snapshots that stand on it */
  remove(name: string, signal: AbortSignal): Promise<void>;
}
