/** Cleans up after sandboxes that end at their deadline while this process lives. */
import type { Logger } from '../../../shared/log.ts';

/** The agent ends its sandbox itself; a moment later there is something to clean up. */
const SLACK_MS = 250;
/** The longest delay of a Node timer. */
const MAX_DELAY_MS = 2_147_483_647;

/** Looks at each sandbox once its time is up. */
export class ExpiryWatch {
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #settle: (sandboxId: string) => Promise<{ expiresAt: number; endedAt: number | null }>;
  readonly #log: Logger;
  #closed = false;

  /** `settle` cleans up where the sandbox has ended, and answers how it stands. */
  constructor(
    settle: (sandboxId: string) => Promise<{ expiresAt: number; endedAt: number | null }>,
    log: Logger,
  ) {
    this.#settle = settle;
    this.#log = log;
  }

  /** Looks at the sandbox soon after `expiresAt` (epoch ms), and again where that has moved by then. */
  watch(sandboxId: string, expiresAt: number): void {
    if (this.#closed) return;
    clearTimeout(this.#timers.get(sandboxId));
    const delay = Math.min(Math.max(0, expiresAt - Date.now()) + SLACK_MS, MAX_DELAY_MS);
    const timer = setTimeout(() => {
      this.#timers.delete(sandboxId);
      this.#look(sandboxId).catch((error: unknown) => {
        this.#log.debug({ sandboxId, err: error }, 'an expired sandbox could not be looked at');
      });
    }, delay);
    // The next start cleans up just as well: nothing has to stay alive for it.
    timer.unref();
    this.#timers.set(sandboxId, timer);
  }

  async #look(sandboxId: string): Promise<void> {
    const { expiresAt, endedAt } = await this.#settle(sandboxId);
    if (endedAt === null) this.watch(sandboxId, expiresAt);
  }

  close(): void {
    this.#closed = true;
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
  }
}
