/** Signals that wait for several others. */

const sources = new WeakMap<AbortSignal, readonly AbortSignal[]>();

/**
 * A signal that aborts as soon as one of these does, with its reason: `AbortSignal.any`, but it keeps what it waits for
 * alive. Node 20 holds the sources weakly, so that a time limit which nobody else keeps is collected and never comes.
 */
export function anySignal(signals: readonly AbortSignal[]): AbortSignal {
  const any = AbortSignal.any([...signals]);
  sources.set(any, signals);
  return any;
}
