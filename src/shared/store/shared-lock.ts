import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { KeyedLock } from '../async/keyed-lock.ts';
import { SandboxError } from '../errors.ts';
import type { Store } from './store.ts';

/** Longer than the work under a lock takes; a dead holder blocks others this long. */
const LEASE_MS = 30_000;
const WAIT_MS = 40_000;
const PAUSE_MS = 20;

/** Runs tasks with the same key one after another, on all replicas of a store. */
export class SharedLock {
  readonly #store: Store;
  readonly #own = new KeyedLock();

  constructor(store: Store) {
    this.#store = store;
  }

  /** Settles as the task does. @throws SandboxError `conflict` if another replica keeps the lock */
  run<T>(key: string, task: () => Promise<T>): Promise<T> {
    return this.#own.run(key, async () => {
      const [lease, holder] = [`lock:${key}`, randomBytes(8).toString('hex')];
      const until = performance.now() + WAIT_MS;
      try {
        while (!(await this.#store.hold(lease, holder, LEASE_MS))) {
          if (performance.now() > until) {
            throw new SandboxError('conflict', 'Another replica is changing the same thing.', {
              hint: 'Call again in a moment.',
            });
          }
          await delay(PAUSE_MS);
        }
        return await task();
      } finally {
        // Also after an error: it may have been taken. It runs out if it cannot be given back, and what the task
        // did stays done.
        await this.#store.release(lease, holder).catch(() => {});
      }
    });
  }
}
