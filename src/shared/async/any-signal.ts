/** Signals that combine several others. */

const sources = new WeakMap<AbortSignal, readonly AbortSignal[]>();

/**
 * A signal that aborts as soon as one of these does, with its reason. Like `AbortSignal.any`, but it keeps
 * its sources alive: Node 20 holds them weakly, so a timeout signal that nothing else references is collected
 * and never fires.
 */
export function anySignal(signals: readonly AbortSignal[]): AbortSignal {
  const any = AbortSignal.any([...signals]);
  sources.set(any, signals);
  return any;
}
