import { setTimeout as delay } from 'node:timers/promises';
import { processesNamed } from './processes.ts';

const TIMEOUT_MS = 10_000;

/** Resolves once the required number of `sleep SECONDS` processes run on this machine; rejects after 10 s. */
export async function untilSleepers(seconds: number, isEnough: (count: number) => boolean): Promise<void> {
  const deadline = performance.now() + TIMEOUT_MS;
  while (!isEnough(processesNamed('sleep', String(seconds)))) {
    if (performance.now() > deadline) throw new Error('the processes did not start or end within 10 s');
    await delay(1);
  }
}
