import { onAbort } from './on-abort.ts';

/** Resolves when the signal fires, or at once if it already has. */
export function whenAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => onAbort(signal, resolve));
}
