export interface SignalSource {
  on(event: NodeJS.Signals, listener: () => void): unknown;
}

/** Promises for the first and the second termination signal; further ones are ignored. */
export function shutdownSignals(source: SignalSource): { first: Promise<void>; second: Promise<void> } {
  const arrived: (() => void)[] = [];
  const first = new Promise<void>((resolve) => arrived.push(resolve));
  const second = new Promise<void>((resolve) => arrived.push(resolve));
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) source.on(signal, () => arrived.shift()?.());
  return { first, second };
}
