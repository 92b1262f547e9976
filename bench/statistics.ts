/** The summary of a contender's runs, in the unit of the row. */
export interface Summary {
  readonly runs: number;
  readonly p50: number;
  readonly p95: number;
}

/** The median and the 95th percentile (nearest rank) of at least one value. */
export function summarize(values: readonly number[]): Summary {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
  return { runs: sorted.length, p50: at(0.5), p95: at(0.95) };
}
