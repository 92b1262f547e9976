import { onAbort } from './on-abort.ts';

/** Resolves when the signal fires, at once where it has; whoever waits looks then what has happened. */
export function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => onAbort(signal, resolve));
}
