/** The way out of one sandbox: judges what it is handed, remembers what went and what was refused. */
import { networkInterfaces } from 'node:os';
import {
  type ConnectionEntry,
  ConnectionLog,
  type NetworkActivity,
  type NetworkTotals,
  type PreviousLog,
} from './connection/connection-log.ts';
import type { ByteCounts, GatewayContext, RedirectedConnection } from './connection/context.ts';
import type { TlsKeyProvider } from './connection/tls-trust.ts';
import { TrackedConnection } from './connection/tracked-connection.ts';
import { answerQuery, MAX_UDP_ANSWER } from './dns/answer-query.ts';
import { refusedQueryEntry } from './dns/dns-log-entry.ts';
import { type Lookup, NameCache, type RecordLookup } from './policy/name-cache.ts';
import type { Policy } from './policy/policy.ts';
import { quotaExceededPolicy } from './policy/quota-exceeded.ts';
import { routeConnection } from './route-connection.ts';

export interface GatewayOptions {
  readonly policy: Policy;
  readonly lookup: Lookup;
  /** Looks up records other than addresses; left out: there are none. */
  readonly lookupRecords?: RecordLookup;
  /** The most bytes, in and out together, over the sandbox's whole life; null: no limit. */
  readonly maxBytes: number | null;
  readonly previous: PreviousLog;
  /** Whether to refuse TLS clients that send an encrypted client hello, real or grease; default: false. */
  readonly refuseEch?: boolean;
  /** What terminating TLS takes; null: what would need it is refused. */
  readonly tls: TlsKeyProvider | null;
  /** Handed every connection once it is over, and every refused query. */
  readonly onEntry: (entry: ConnectionEntry) => void;
  /** A defect, met while carrying a connection, which is cut. */
  readonly onDefect: (error: unknown) => void;
}

export class Gateway {
  readonly #context: GatewayContext;
  readonly #log: ConnectionLog;
  readonly #open = new Set<TrackedConnection>();
  readonly #options: GatewayOptions;
  #policy: Policy;
  #bytesIn: number;
  #bytesOut: number;
  #quotaPolicy: Policy | null = null;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#policy = options.policy;
    this.#bytesIn = options.previous.totals.bytesIn;
    this.#bytesOut = options.previous.totals.bytesOut;
    this.#log = new ConnectionLog(options.previous, options.onEntry);
    this.#context = {
      policy: () => this.#quotaPolicy ?? this.#policy,
      names: new NameCache(options.lookup, options.lookupRecords),
      log: this.#log,
      tls: options.tls,
      refuseEch: options.refuseEch ?? false,
    };
    this.countBytes({ in: 0, out: 0 });
  }

  /** Takes a connection that a program of the sandbox made. */
  handleConnection(connection: RedirectedConnection): void {
    const tracked = new TrackedConnection(connection, this.#context);
    this.#open.add(tracked);
    const ended = async () => {
      const moved = await connection.closed;
      this.#open.delete(tracked);
      this.#log.add(tracked.finish(moved));
    };
    Promise.all([ended(), routeConnection(tracked, this.#context)]).catch((error: unknown) => {
      connection.reset();
      this.#options.onDefect(error);
    });
  }

  /** Answers a DNS query; null for bytes that are none. */
  async answerQuery(bytes: Buffer): Promise<Buffer | null> {
    const answer = await answerQuery(bytes, this.#context.policy(), this.#context.names, MAX_UDP_ANSWER);
    if (answer?.refused) this.#log.add(refusedQueryEntry(answer.refused));
    this.countBytes({ in: answer?.bytes.length ?? 0, out: bytes.length });
    return answer?.bytes ?? null;
  }

  /** Puts a policy in force, and cuts the connections that it does not allow. */
  setPolicy(policy: Policy): void {
    this.#policy = policy;
    for (const tracked of this.#open) tracked.reevaluate(policy);
  }

  /** Counts bytes that were moved since the last time. Where they are the last ones allowed, nothing passes any more. */
  countBytes(moved: ByteCounts): void {
    this.#bytesIn += moved.in;
    this.#bytesOut += moved.out;
    if (this.remainingBytes() === 0) this.exceedQuota();
  }

  /** Bytes that may still be moved; null: no limit. */
  remainingBytes(): number | null {
    const { maxBytes } = this.#options;
    return maxBytes === null ? null : Math.max(0, maxBytes - this.#bytesIn - this.#bytesOut);
  }

  /** Ends all traffic for good: what was allowed is used up. */
  exceedQuota(): void {
    if (this.#quotaPolicy !== null) return;
    this.#quotaPolicy = quotaExceededPolicy(this.#options.maxBytes ?? 0);
    for (const tracked of this.#open) tracked.reevaluate(this.#quotaPolicy);
  }

  /** Counts over all of the sandbox's life, as far as it is known; connections that are open do not count yet. */
  totals(): NetworkTotals {
    return { ...this.#log.counts, bytesIn: this.#bytesIn, bytesOut: this.#bytesOut };
  }

  activity(): NetworkActivity {
    // A program that was refused may be gone before its connection is known to be over.
    const open = [...this.#open].map(({ entry }) => entry);
    const { bytesIn, bytesOut } = this.totals();
    return { ...this.#log.activity(open), bytesIn, bytesOut, maxBytes: this.#options.maxBytes };
  }

  /** Cuts everything. */
  close(): void {
    for (const tracked of this.#open) tracked.terminate('the gateway has closed');
  }
}

/** The addresses of this host's interfaces, as the system spells them. */
export function hostAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
}
