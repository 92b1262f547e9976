/** Spans of work for `--trace-file`, published on a diagnostics channel of Node: free while nobody listens. */
import { AsyncLocalStorage } from 'node:async_hooks';
import { channel } from 'node:diagnostics_channel';

/** Where time is spent, from the client's side to the sandbox. */
export type Layer = 'front' | 'server' | 'registry' | 'engine' | 'agent';

export interface Span {
  readonly layer: Layer;
  readonly name: string;
  /** Milliseconds since the start of the process. */
  readonly startMs: number;
  readonly durationMs: number;
  /** The same for all spans of one call; 0 outside of calls. */
  readonly call: number;
}

const spans = channel('sandbox-mcp:span');
const calls = new AsyncLocalStorage<number>();
let lastCall = 0;

/** Runs the work, and publishes how long it took if anybody listens. A failure counts as its end. */
export async function traced<T>(layer: Layer, name: string, work: () => Promise<T>): Promise<T> {
  if (!spans.hasSubscribers) return work();
  const startMs = performance.now();
  try {
    return await work();
  } finally {
    publish(layer, name, startMs);
  }
}

/** The same for a call, to which all spans of its work belong. */
export function tracedCall<T>(name: string, work: () => Promise<T>): Promise<T> {
  if (!spans.hasSubscribers) return work();
  lastCall += 1;
  return calls.run(lastCall, () => traced('server', name, work));
}

/** Publishes a span that ends now. */
export function publish(layer: Layer, name: string, startMs: number): void {
  if (!spans.hasSubscribers) return;
  const durationMs = performance.now() - startMs;
  const span: Span = { layer, name, startMs, durationMs, call: calls.getStore() ?? 0 };
  spans.publish(span);
}

/** Calls back for every span from now on, until the returned function is called. */
export function onSpan(listener: (span: Span) => void): () => void {
  // Both bundles of the program publish on the channel, with the one shape above.
  const receive = (message: unknown): void => {
    if (isSpan(message)) listener(message);
  };
  spans.subscribe(receive);
  return () => spans.unsubscribe(receive);
}

function isSpan(message: unknown): message is Span {
  return typeof message === 'object' && message !== null && 'startMs' in message;
}
