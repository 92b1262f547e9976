/** The handle for `clearTimeout`. */
export type Timer = NodeJS.Timeout | number;

/** Time as a dependency, so that tests control it. */
export interface Clock {
  /** Unix epoch milliseconds. */
  now(): number;
  /** Calls back once after `delayMs` milliseconds; never keeps the process alive. */
  setTimeout(callback: () => void, delayMs: number): Timer;
  /** Clearing a timer that has already fired is not an error. */
  clearTimeout(timer: Timer): void;
}

/** Node treats a longer delay as one millisecond. */
const LONGEST_DELAY_MS = 2 ** 31 - 1;

/**
 * The system clock. A delay over 24.8 days fires after 24.8 days: callers with longer waits must check again.
 */
export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (callback, delayMs) => setTimeout(callback, Math.min(delayMs, LONGEST_DELAY_MS)).unref(),
  clearTimeout: (timer) => clearTimeout(timer),
};

/**
 * Waits for `work`, at most `delayMs` milliseconds. False if time was up first; the work then continues, and
 * a later failure of it is not reported.
 *
 * @throws what `work` rejects with within that time
 */
export async function completesWithin(
  clock: Clock,
  delayMs: number,
  work: Promise<unknown>,
): Promise<boolean> {
  let timer: Timer | undefined;
  const timeUp = new Promise<boolean>((resolve) => {
    timer = clock.setTimeout(() => resolve(false), delayMs);
  });
  try {
    return await Promise.race([work.then(() => true), timeUp]);
  } finally {
    if (timer !== undefined) clock.clearTimeout(timer);
  }
}
