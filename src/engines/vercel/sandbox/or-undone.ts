import { onAbort } from '../../../shared/async/on-abort.ts';
import { SandboxError } from '../../../shared/errors.ts';
import type { Sandbox } from '../../engine.ts';

/**
 * The result of `making`. When the signal fires, `undo` is called, and the wait ends `waitMs()` milliseconds
 * later at the latest.
 */
export async function orUndone(
  making: Promise<Sandbox>,
  signal: AbortSignal,
  undo: () => Promise<unknown> | undefined,
  waitMs: () => number,
): Promise<Sandbox> {
  let timer: NodeJS.Timeout | undefined;
  let release = (): void => {};
  const givenUp = new Promise<never>((_resolve, reject) => {
    release = onAbort(signal, () => {
      void undo();
      timer = setTimeout(() => reject(cancelled(signal)), waitMs());
    });
  });
  try {
    return await Promise.race([making, givenUp]);
  } catch (error) {
    if (signal.aborted) throw cancelled(signal);
    throw error;
  } finally {
    clearTimeout(timer);
    release();
  }
}

function cancelled(signal: AbortSignal): SandboxError {
  return new SandboxError('cancelled', 'The call was cancelled.', { cause: signal.reason });
}
