import { setTimeout as delay } from 'node:timers/promises';
import { SandboxError, throwIfCancelled } from '../errors.ts';
import { abortWith, onAbort } from './on-abort.ts';

/**
 * Gives `work` at most `limitMs` milliseconds. Null if time was up; the work's signal has then fired and the
 * work has settled. The caller's own cancellation is passed on, and rejects as the work does.
 */
export async function withTimeout<Result>(
  limitMs: number,
  signal: AbortSignal,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result | null> {
  throwIfCancelled(signal);
  const { controller, release } = abortWith(signal);
  let timeUp = false;
  const timer = setTimeout(() => {
    timeUp = true;
    controller.abort();
  }, limitMs);
  try {
    return await work(controller.signal);
  } catch (error) {
    if (timeUp && !signal.aborted && isCancelled(error)) return null;
    throw error;
  } finally {
    clearTimeout(timer);
    release();
  }
}

/** Waits `ms` milliseconds; a fired signal rejects with `cancelled`. */
export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  throwIfCancelled(signal);
  await delay(ms, undefined, { signal }).catch(() => throwIfCancelled(signal));
}

/**
 * The outcome of `work`. If the signal fires first, this rejects with `cancelled`, and the work continues
 * with its outcome ignored.
 */
export async function raceAbort<Result>(work: Promise<Result>, signal: AbortSignal): Promise<Result> {
  let release = (): void => {};
  const abandoned = new Promise<never>((_, reject) => {
    release = onAbort(signal, () =>
      reject(new SandboxError('cancelled', 'The call was cancelled.', { cause: signal.reason })),
    );
  });
  try {
    return await Promise.race([work, abandoned]);
  } finally {
    release();
  }
}

function isCancelled(error: unknown): boolean {
  return error instanceof SandboxError && error.code === 'cancelled';
}
