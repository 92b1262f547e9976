/** Sandboxes that were booted ahead and belong to nobody yet. */
import { mapConcurrent } from '../../../shared/async/map-concurrent.ts';
import { type Clock, systemClock, type Timer } from '../../../shared/clock.ts';
import { newSandboxId } from '../../../shared/ids.ts';
import type { Logger } from '../../../shared/log.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';

/** Calls that follow each other more closely than this are one piece of work, which a boot would slow down. */
const IDLE_MS = 500;
/** One that dies earlier is not replaced until the next call: the next would die as well. */
const MIN_LIFETIME_MS = 60_000;

/** What a boot decides for good: the rest is set when a sandbox is taken. */
export interface StockShape {
  vcpus: number;
}

/** How stock is made and removed. */
export interface StockMaker {
  /**
   * After a failure or abort the caller removes what is left.
   *
   * @param onEnd called when the sandbox ends
   */
  boot(sandboxId: string, shape: StockShape, signal: AbortSignal, onEnd: () => void): Promise<SandboxRecord>;
  /** Also removes one that was made in part, or not at all. */
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
  /** Ids of sandboxes that are being removed, or whose removal has failed and is tried again. */
  readonly #unwanted = new Set<string>();
  #ready: SandboxRecord[] = [];
  #wanted: StockShape | null = null;
  #running = 0;
  #timer: Timer | null = null;
  #filling: Promise<void> | null = null;
  #removing: Promise<void> = Promise.resolve();

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
    if (stocked === null) return;
    this.#ready.push(stocked);
    if (this.#closing.signal.aborted) void this.#tryDiscard(() => true);
  }

  /** A reserved sandbox, which from now on is the caller's. Null for any other id. */
  claim(sandboxId: string): SandboxRecord | null {
    const stocked = this.#reserved.get(sandboxId) ?? null;
    this.#reserved.delete(sandboxId);
    return stocked;
  }

  /** From now on the stock holds sandboxes of this shape. */
  want({ vcpus }: StockShape): void {
    // Not the object itself: it may be a request, with secrets of its principal.
    this.#wanted = { vcpus };
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
    this.#filling = this.#refill().finally(() => {
      this.#filling = null;
    });
  }

  /** Never rejects. Stops as soon as a call is running; its end starts it again. */
  async #refill(): Promise<void> {
    const wanted = this.#wanted;
    if (wanted === null) return;
    let kept = 0;
    const isUnwanted = (stocked: SandboxRecord): boolean => {
      if (stocked.vcpus !== wanted.vcpus || !this.#maker.isAlive(stocked)) return true;
      // One that was given back may be one too many.
      kept += 1;
      return kept > this.#size;
    };
    // What cannot be removed still takes up memory: nothing is added to it.
    if (!(await this.#tryDiscard(isUnwanted))) return;
    while (this.#isShort() && this.#running === 0 && !this.#closing.signal.aborted)
      if (!(await this.#tryBoot(wanted))) return;
  }

  /** A reserved one may come back. */
  #isShort(): boolean {
    return this.#ready.length + this.#reserved.size < this.#size;
  }

  /** Never rejects. The next create is as fast as without a stock, and then it is tried again. */
  async #tryBoot(wanted: StockShape): Promise<boolean> {
    const { signal } = this.#closing;
    const sandboxId = newSandboxId();
    try {
      this.#ready.push(await this.#maker.boot(sandboxId, wanted, signal, () => this.#ended(sandboxId)));
      return true;
    } catch (error) {
      if (!signal.aborted) this.#log.warn({ err: error }, 'Could not boot a sandbox ahead.');
      this.#unwanted.add(sandboxId);
      await this.#tryDiscard(() => false);
      return false;
    }
  }

  /** One that dies in the stock is removed at once, and replaced while the server is idle. */
  #ended(sandboxId: string): void {
    const stocked = this.#ready.find((each) => each.sandboxId === sandboxId);
    if (stocked === undefined || this.#closing.signal.aborted) return;
    void this.#tryDiscard((each) => each === stocked);
    if (this.#clock.now() - stocked.createdAt >= MIN_LIFETIME_MS) this.#fillWhenIdle();
  }

  /** Never rejects. False if something could not be removed. */
  async #tryDiscard(isUnwanted: (stocked: SandboxRecord) => boolean): Promise<boolean> {
    try {
      await this.#discard(isUnwanted);
      return true;
    } catch (error) {
      this.#log.warn({ err: error }, 'Could not remove a sandbox that was booted ahead; trying again later.');
      return false;
    }
  }

  /** Also waits for what is being removed already, and tries again what could not be removed. */
  async #discard(isUnwanted: (stocked: SandboxRecord) => boolean): Promise<void> {
    const unwanted = this.#ready.filter(isUnwanted);
    this.#ready = this.#ready.filter((stocked) => !unwanted.includes(stocked));
    for (const { sandboxId } of unwanted) this.#unwanted.add(sandboxId);
    const removed = this.#removing.then(() => this.#removeUnwanted());
    this.#removing = removed.catch(() => {});
    await removed;
  }

  /** Tries all of them. Rejects with the first failure. */
  async #removeUnwanted(): Promise<void> {
    const failures: unknown[] = [];
    await mapConcurrent([...this.#unwanted], 4, async (sandboxId) => {
      try {
        await this.#maker.remove(sandboxId);
        this.#unwanted.delete(sandboxId);
      } catch (error) {
        failures.push(error);
      }
    });
    if (failures.length > 0) throw failures[0];
  }
}
