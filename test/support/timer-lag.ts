/** Measures the load of this machine: everything may be as late as its timers. */

const EVERY_MS = 5;

/** Starts measuring; the returned function returns the total lag of this process's timers in milliseconds. */
export function measureTimerLag(): () => number {
  let lag = 0;
  let last = performance.now();
  const measure = (): void => {
    const now = performance.now();
    lag += Math.max(0, now - last - 2 * EVERY_MS);
    last = now;
  };
  const timer = setInterval(measure, EVERY_MS);
  return () => {
    clearInterval(timer);
    measure();
    return lag;
  };
}
