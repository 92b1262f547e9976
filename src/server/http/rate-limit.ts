/** Principals that are remembered at most; an unlimited number could fill the memory. */
const MAX_PRINCIPALS = 10_000;
const MINUTE_MS = 60_000;

/** A token bucket per principal: bursts of up to a minute's allowance, refilled continuously. */
export class RateLimit {
  readonly #perMinute: number;
  readonly #buckets = new Map<string, { left: number; at: number }>();

  constructor(perMinute: number) {
    this.#perMinute = perMinute;
  }

  /** Null if the request may pass, else the seconds after which the next one may. `now` is in milliseconds. */
  take(principal: string, now: number): number | null {
    const last = this.#buckets.get(principal) ?? { left: this.#perMinute, at: now };
    const refilled = last.left + ((now - last.at) * this.#perMinute) / MINUTE_MS;
    const left = Math.min(this.#perMinute, refilled);
    const passes = left >= 1;
    this.#buckets.delete(principal);
    this.#buckets.set(principal, { left: passes ? left - 1 : left, at: now });
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > MAX_PRINCIPALS && oldest !== undefined) this.#buckets.delete(oldest);
    return passes ? null : Math.ceil(((1 - left) * MINUTE_MS) / this.#perMinute / 1_000);
  }
}
