import { setTimeout as delay } from 'node:timers/promises';
import { throwIfCancelled } from '../errors.ts';

/** Other calls wait no longer than this plus one step of the work. */
const STRETCH_MS = 20;
/** Enough for a call that takes several turns of the event loop. */
const MAX_REST_MS = 100;

/** Runs work in slices, with equally long pauses for other calls, and within a total time limit. */
export class CpuBudget {
  readonly #end: number;
  readonly #signal: AbortSignal;
  #begun = performance.now();

  constructor(limitMs: number, signal: AbortSignal) {
    this.#end = performance.now() + limitMs;
    this.#signal = signal;
  }

  /** True when it is time to `rest`. */
  get isDue(): boolean {
    return performance.now() >= this.#begun + STRETCH_MS;
  }

  /** True if the total time is used up. */
  get isOver(): boolean {
    return performance.now() >= this.#end;
  }

  /** Lets all other tasks run. A fired signal rejects with `cancelled`. */
  async rest(): Promise<void> {
    await delay(Math.min(MAX_REST_MS, performance.now() - this.#begun));
    throwIfCancelled(this.#signal);
    this.#begun = performance.now();
  }
}
