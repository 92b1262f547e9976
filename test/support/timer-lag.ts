/** Measures what a busy machine adds to the time that anything takes. */
import { readFileSync } from 'node:fs';

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

interface Times {
  /** Milliseconds that the main thread of a process ran, and that it was ready to run but had no processor. */
  readonly ranMs: number;
  readonly waitedMs: number;
}

/** Since the process started; zero if it is gone. */
export function processorTimes(pid: number | 'self'): Times {
  try {
    // "Time running, time runnable, time slices", of the main thread, in nanoseconds.
    const [ran, waited] = readFileSync(`/proc/${pid}/schedstat`, 'utf8').split(' ').map(Number);
    return { ranMs: (ran ?? 0) / 1e6, waitedMs: (waited ?? 0) / 1e6 };
  } catch {
    return { ranMs: 0, waitedMs: 0 };
  }
}

/** Starts measuring; the returned function tells how many times slower this process ran than it would alone. */
export function measureSlowness(): () => number {
  const before = processorTimes('self');
  return () => {
    const now = processorTimes('self');
    return 1 + (now.waitedMs - before.waitedMs) / Math.max(1, now.ranMs - before.ranMs);
  };
}
