/** Sandboxes that were booted ahead and belong to nobody yet. */
import { mapConcurrent } from '../../../shared/async/map-concurrent.ts';
import { type Clock, systemClock, type Timer } from '../../../shared/clock.ts';
import type { Logger } from '../../../shared/log.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';

/** Calls that follow each other more closely than this are one piece of work, which a boot would slow down. */
const IDLE_MS = 500;

/** What a boot decides for good: the rest is set when a sandbox is taken. */
export interface StockShape {
  vcpus: number;
}

/** How stock is made and removed. */
export interface StockMaker {
  /** Leaves nothing behind on failure or abort. */
  boot(shape: StockShape, signal: AbortSignal): Promise<SandboxRecord>;
  remove(sandboxId: string): Promise<void>;
  isAlive(stocked: SandboxRecord): boolean;
}

/**
 * The stock of this process. It is filled while no call is running and none has been for a while, with
 * sandboxes as the last create wanted them; before the first create it is empty.
 */
export class SandboxStock {
  readonly #size: number;
  readonly #maker: StockMaker;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #closing = new AbortController();
  readonly #reserved = new Map<string, SandboxRecord>();
  #ready: SandboxRecord[] = [];
  #wanted: StockShape | null = null;
  #running = 0;
  #timer: Timer | null = null;
  #filling: Promise<void> | null = null;
  #removing: Promise<unknown> = Promise.resolve();

  /** @param size how many sandboxes to keep ready; 0 for none */
  constructor(size: number, maker: StockMaker, log: Logger, clock: Clock = systemClock) {
    this.#size = size;
    this.#maker = maker;
    this.#log = log;
    this.#clock = clock;
  }

  /** Takes a sandbox of this shape out of the stock, for `claim` or `giveBack`. Null if there is none. */
  reserve({ vcpus }: StockShape): string | null {
    const index = this.#ready.findIndex((stocked) => stocked.vcpus === vcpus && this.#maker.isAlive(stocked));
    const [found] = index === -1 ? [] : this.#ready.splice(index, 1);
    if (found === undefined) return null;
    this.#reserved.set(found.sandboxId, found);
    return found.sandboxId;
  }

  giveBack(sandboxId: string): void {
    const stocked = this.claim(sandboxId);
    if (stocked !== null) this.#ready.push(stocked);
  }

  /** A reserved sandbox, which from now on is the caller's. Null for any other id. */
  claim(sandboxId: string): SandboxRecord | null {
    const stocked = this.#reserved.get(sandboxId) ?? null;
    this.#reserved.delete(sandboxId);
    return stocked;
  }

  /** From now on the stock holds sandboxes of this shape. */
  want(shape: StockShape): void {
    this.#wanted = shape;
  }

  /** Runs a call, during which and shortly after which nothing is booted. */
  async during<T>(call: () => Promise<T>): Promise<T> {
    this.#running += 1;
    try {
      return await call();
    } finally {
      this.#running -= 1;
      this.#fillWhenIdle();
    }
  }

  /** Removes what is left of the stock; it is never filled again. Rejects if something remains. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#cancelTimer();
    await this.#filling;
    await this.#discard(() => true);
  }

  #fillWhenIdle(): void {
    if (this.#size === 0 || this.#wanted === null || this.#closing.signal.aborted) return;
    this.#cancelTimer();
    this.#timer = this.#clock.setTimeout(() => {
      this.#timer = null;
      if (this.#running === 0) this.#fill();
    }, IDLE_MS);
  }

  #cancelTimer(): void {
    if (this.#timer !== null) this.#clock.clearTimeout(this.#timer);
    this.#timer = null;
  }

  #fill(): void {
    if (this.#filling !== null) return;
    this.#filling = this.#refill()
      .catch((error: unknown) => {
        // The next create is as fast as without a stock, and then it is tried again.
        if (!this.#closing.signal.aborted) this.#log.warn({ err: error }, 'Could not boot a sandbox ahead.');
      })
      .finally(() => {
        this.#filling = null;
      });
  }

  /** Stops as soon as a call is running; its end starts it again. */
  async #refill(): Promise<void> {
    const wanted = this.#wanted;
    if (wanted === null) return;
    await this.#discard((stocked) => stocked.vcpus !== wanted.vcpus || !this.#maker.isAlive(stocked));
    while (this.#ready.length < this.#size && this.#running === 0 && !this.#closing.signal.aborted)
      this.#ready.push(await this.#maker.boot(wanted, this.#closing.signal));
  }

  /** Also waits for what is being removed already. */
  async #discard(isUnwanted: (stocked: SandboxRecord) => boolean): Promise<void> {
    const unwanted = this.#ready.filter(isUnwanted);
    this.#ready = this.#ready.filter((stocked) => !unwanted.includes(stocked));
    const removed = mapConcurrent(unwanted, 4, ({ sandboxId }) => this.#maker.remove(sandboxId));
    const before = this.#removing;
    this.#removing = Promise.allSettled([before, removed]);
    await Promise.all([before, removed]);
  }
}
