/** The summary of a contender's runs, in the unit of the row. */
export interface Summary {
  readonly runs: number;
  readonly p50: number;
  readonly p95: number;
}

/** The median and the 95th percentile of at least one value. */
export function summarize(values: readonly number[]): Summary {
  return { runs: values.length, p50: percentile(values, 0.5), p95: percentile(values, 0.95) };
}

/** The value (nearest rank) that this share of at least one value does not exceed. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}
