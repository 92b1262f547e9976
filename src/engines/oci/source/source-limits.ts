/** How long and how much a fetch may take. */
export interface SourceLimits {
  /** A transfer in which nothing arrives for so long is given up. */
  readonly stallMs: number;
  /** One step of a fetch takes at most so long; the sandbox's own deadline may come earlier. */
  readonly limitMs: number;
  /** Of a tarball as it is served. */
  readonly maxDownloadBytes: number;
  /** Of a tarball once it is unpacked: a small file may hold a flood. */
  readonly maxUnpackedBytes: number;
  readonly maxEntries: number;
}

const GIB = 1_073_741_824;

export const DEFAULT_SOURCE_LIMITS: SourceLimits = {
  stallMs: 60_000,
  limitMs: 1_800_000,
  maxDownloadBytes: 2 * GIB,
  maxUnpackedBytes: 8 * GIB,
  maxEntries: 500_000,
};
