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
  /** What it was pulled as, e.g. `python:3.13-slim`; empty for an image that was not pulled. */
  references: string[];
  /** Of the registry's manifest; null for an image that was not pulled. */
  digest: string | null;
  /** Differences from the archive, as readable text. */
  notes: string[];
}

export interface ImportImage {
  name: string;
  /**
   * Path on this host of a tar archive, plain or compressed with gzip or zstd, or of a directory in the OCI
   * image layout or as skopeo's `dir:` writes it.
   */
  archive: string;
  /** Which image, if the archive contains several. */
  image?: string | undefined;
  /** The maximum unpacked size in bytes. */
  maxBytes: number;
}

export interface PullImage {
  /** `python:3.13-slim`, `registry.example/app@sha256:…`, or the short name of a runtime. */
  reference: string;
  /** The maximum size of the download, and of what it unpacks to, in bytes. */
  maxBytes: number;
}

/** The state of a pull. */
export type PullState =
  | { kind: 'resolve' }
  | { kind: 'download'; layers: number; layersDone: number; bytes: number; totalBytes: number }
  | { kind: 'unpack' };

/** Present if the engine can run sandboxes on custom root file systems. */
export interface Images {
  /**
   * Imports an archive as the runtime `name`. On failure or abort nothing of it is left.
   *
   * @throws `conflict` if the name is taken, `invalid_argument` or `unsupported` for the archive,
   *   `limit_exceeded`, `not_found` for `image`
   */
  import(request: ImportImage, signal: AbortSignal): Promise<Image>;
  /**
   * Pulls an image for the operator, whatever agents may name. On failure or abort nothing of it is left.
   *
   * @throws `invalid_argument` for the reference, `not_found`, `auth`, `unavailable`, `server` for a registry
   *   whose answers are inconsistent
   */
  pull(request: PullImage, signal: AbortSignal, report?: (state: PullState) => void): Promise<Image>;
  /** Sorted by name. */
  list(signal: AbortSignal): Promise<Image[]>;
  /** Removes the pulled images that nothing uses. Returns what was removed. */
  prune(signal: AbortSignal): Promise<Image[]>;
  /**
   * Removes an image by its name or reference. If the image has several references, only this one is removed.
   *
   * @throws `not_found`, or `conflict` naming the sandboxes and snapshots that use it
   */
  remove(name: string, signal: AbortSignal): Promise<void>;
}

/** Valid values of `runtime` for `sandbox_create`. */
export interface Runtimes {
  /** Runtimes available locally: a sandbox on one of them needs no download. */
  installed: string[];
  /** Which other runtimes can be requested, as text; null if none. */
  others: string | null;
}
