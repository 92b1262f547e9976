/** How far behind this machine is: by as much as its timers come late, everything else may. */

const EVERY_MS = 5;

/** Starts to measure; answers, when it is called, the milliseconds in all by which timers of this process came late. */
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
