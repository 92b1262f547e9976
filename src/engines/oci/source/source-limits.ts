/** How long and how much a fetch may take. */
export interface SourceLimits {
  /** A transfer without data for this long is aborted. */
  readonly stallMs: number;
  /** Time limit of one step of a fetch; the sandbox's deadline may come earlier. */
  readonly limitMs: number;
  /** Limit of a tarball as served. */
  readonly maxDownloadBytes: number;
  /** Limit of a tarball once unpacked: a small file may expand enormously. */
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
