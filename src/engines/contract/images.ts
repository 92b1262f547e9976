/** Images: imported root file systems and downloaded runtimes. */

export interface Image {
  name: string;
  /** `rootfs`: a separate root file system; `node`: a Node release on top of the host's files. */
  kind: 'rootfs' | 'node';
  /** Of a Node release. */
  version: string | null;
  /** In Node's naming: `x64`, `arm64`. */
  arch: string;
  sizeBytes: number;
  createdAt: number;
  /** Ids of the live sandboxes and the snapshots that use it. */
  usedBy: string[];
  /** Differences from the archive, in words. */
  notes: string[];
}

export interface ImportImage {
  name: string;
  /** Path of a tar archive on this host, plain or compressed with gzip or zstd. */
  archive: string;
  /** The maximum unpacked size in bytes. */
  maxBytes: number;
}

/** Present if the engine can run sandboxes on custom root file systems. */
export interface Images {
  /**
   * Imports an archive as the runtime `name`. On failure or abort nothing of it is left.
   *
   * @throws `conflict` if the name is taken, `invalid_argument` or `unsupported` for the archive, `limit_exceeded`
   */
  import(request: ImportImage, signal: AbortSignal): Promise<Image>;
  /** Sorted by name. */
  list(signal: AbortSignal): Promise<Image[]>;
  /** @throws `not_found`, or `conflict` naming the sandboxes and snapshots that use it */
  remove(name: string, signal: AbortSignal): Promise<void>;
}
