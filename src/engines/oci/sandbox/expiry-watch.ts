/** Cleans up after sandboxes that end at their deadline while this process runs. */
import type { Logger } from '../../../shared/log.ts';

/** The agent ends its sandbox itself; cleanup follows this much later. */
const SLACK_MS = 250;
/** The longest delay of a Node timer. */
const MAX_DELAY_MS = 2_147_483_647;

/** Checks each sandbox once its deadline has passed. */
export class ExpiryWatch {
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #reconcile: (sandboxId: string) => Promise<{ expiresAt: number; endedAt: number | null }>;
  readonly #log: Logger;
  #closed = false;

  /** `settle` reconciles the sandbox, which cleans up if it has ended, and returns its record. */
  constructor(
    reconcile: (sandboxId: string) => Promise<{ expiresAt: number; endedAt: number | null }>,
    log: Logger,
  ) {
    this.#reconcile = reconcile;
    this.#log = log;
  }

  /** Checks the sandbox soon after `expiresAt` (epoch ms), and again if the deadline was extended. */
  watch(sandboxId: string, expiresAt: number): void {
    if (this.#closed) return;
    clearTimeout(this.#timers.get(sandboxId));
    const delay = Math.min(Math.max(0, expiresAt - Date.now()) + SLACK_MS, MAX_DELAY_MS);
    const timer = setTimeout(() => {
      this.#timers.delete(sandboxId);
      this.#check(sandboxId).catch((error: unknown) => {
        this.#log.debug({ sandboxId, err: error }, 'cannot reconcile an expired sandbox');
      });
    }, delay);
    // Does not keep the process alive: the next server start cleans up too.
    timer.unref();
    this.#timers.set(sandboxId, timer);
  }

  async #check(sandboxId: string): Promise<void> {
    const { expiresAt, endedAt } = await this.#reconcile(sandboxId);
    if (endedAt === null) this.watch(sandboxId, expiresAt);
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
