import { randomBytes } from 'node:crypto';
import type { Clock, Timer } from '../clock.ts';
import type { Logger } from '../log.ts';
import type { Store } from './store.ts';

/** A replica that has not renewed its lease for this long is dead, and others take over what it had. */
const LEASE_MS = 9_000;
const RENEWAL_MS = 2_500;
/** A replica stops acting this much before others may take over, since clocks and answers are not exact. */
const MARGIN_MS = 2_000;

export interface ReplicaTimes {
  readonly leaseMs: number;
  readonly renewalMs: number;
  readonly marginMs: number;
}

/**
 * This process as one of several replicas. It holds a lease under its id. Once it could not renew it in time it
 * must not end or renew anything, even if it does not know yet that others have taken over: a stopped process
 * that continues finds out by its own monotonic clock.
 */
export class Replica {
  readonly store: Store;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #times: ReplicaTimes;
  readonly #now: () => number;
  readonly #listeners: (() => void)[] = [];
  #id = newReplicaId();
  #url: string | null = null;
  #validUntil = Number.NEGATIVE_INFINITY;
  #timer: Timer | null = null;
  #renewing: Promise<void> | null = null;
  #left = false;

  constructor(options: {
    store: Store;
    log: Logger;
    clock: Clock;
    times?: ReplicaTimes;
    /** Milliseconds of a monotonic clock. */
    now?: () => number;
  }) {
    this.store = options.store;
    this.#log = options.log;
    this.#clock = options.clock;
    this.#times = options.times ?? { leaseMs: LEASE_MS, renewalMs: RENEWAL_MS, marginMs: MARGIN_MS };
    this.#now = options.now ?? (() => performance.now());
  }

  /** Another one after the lease was lost. */
  get id(): string {
    return this.#id;
  }

  /**
   * Whether this replica may act on what it has: not once it has lost its lease, or left. True for one that never
   * joined, which has nothing.
   */
  isCurrent(): boolean {
    return this.#url === null || this.#now() < this.#validUntil;
  }

  /** Called when the lease is lost: everything belongs to others from now on. */
  onLost(listener: () => void): void {
    this.#listeners.push(listener);
  }

  /** Becomes a replica that others reach at this URL. @throws SandboxError `unavailable` */
  async join(url: string): Promise<void> {
    this.#url = url;
    await this.#renew();
    this.#schedule();
  }

  /** The URL of a living replica; null for a dead one. */
  urlOf(id: string): Promise<string | null> {
    return this.store.holder(leaseOf(id));
  }

  /** Gives the lease back, after everything was handed over. Never rejects. */
  async leave(): Promise<void> {
    this.#left = true;
    if (this.#timer !== null) this.#clock.clearTimeout(this.#timer);
    if (this.#url === null) return;
    this.#validUntil = Number.NEGATIVE_INFINITY;
    await this.#renewing;
    try {
      await this.store.release(leaseOf(this.#id), this.#url);
    } catch (error) {
      this.#log.warn({ err: error }, 'Could not give back the lease of this replica; it runs out.');
    }
  }

  #schedule(): void {
    if (this.#left) return;
    this.#timer = this.#clock.setTimeout(() => {
      this.#beat();
      this.#schedule();
    }, this.#times.renewalMs);
  }

  /** A renewal that takes long does not delay the next check. */
  #beat(): void {
    if (this.#validUntil !== Number.NEGATIVE_INFINITY && !this.isCurrent()) this.#lose();
    this.#renewing ??= this.#renew()
      .catch((error: unknown) => this.#log.warn({ err: error }, 'Could not renew the lease of this replica.'))
      .finally(() => {
        this.#renewing = null;
      });
  }

  async #renew(): Promise<void> {
    if (this.#url === null) return;
    const [id, requestedAt] = [this.#id, this.#now()];
    const isHeld = await this.store.hold(leaseOf(id), this.#url, this.#times.leaseMs);
    // The store counts from when it was asked, at the latest; the answer may have come late.
    if (isHeld && id === this.#id && !this.#left)
      this.#validUntil = requestedAt + this.#times.leaseMs - this.#times.marginMs;
  }

  /** Others may have taken over already: whatever is left belongs to a new replica. */
  #lose(): void {
    this.#log.error(
      { replica: this.#id },
      'The lease of this replica has run out; its sessions are others’ now.',
    );
    this.#id = newReplicaId();
    this.#validUntil = Number.NEGATIVE_INFINITY;
    for (const listener of this.#listeners) listener();
  }
}

function newReplicaId(): string {
  return `rep_${randomBytes(8).toString('hex')}`;
}

function leaseOf(id: string): string {
  return `replica:${id}`;
}
