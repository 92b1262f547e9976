import { vi } from 'vitest';

/** Waits until a check holds, for as long as a busy machine may take; rejects with its last failure after 20 s. */
export function eventually<Result>(check: () => Result | Promise<Result>): Promise<Result> {
  return vi.waitFor(check, { timeout: 20_000, interval: 10 });
}
