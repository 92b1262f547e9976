/**
 * Calls `listener` when the signal aborts, or at once if it already has. Call the returned function to stop
 * listening: otherwise a signal that outlives thousands of calls accumulates their listeners.
 */
export function onAbort(signal: AbortSignal, listener: () => void): () => void {
  if (signal.aborted) {
    listener();
    return () => {};
  }
  signal.addEventListener('abort', listener, { once: true });
  return () => signal.removeEventListener('abort', listener);
}

/** A controller that aborts with the reason of the first of these signals; `release` stops following them. */
export function abortWith(...signals: AbortSignal[]): { controller: AbortController; release: () => void } {
  const controller = new AbortController();
  const releases = signals.map((signal) => onAbort(signal, () => controller.abort(signal.reason)));
  return {
    controller,
    release: () => {
      for (const release of releases) release();
    },
  };
}
