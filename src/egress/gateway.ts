/**
 * The egress gateway of one sandbox: decides on its connections and queries, and records what was allowed and
 * refused.
 */
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
  /** Looks up records other than addresses; if omitted, there are none. */
  readonly lookupRecords?: RecordLookup;
  /** Lifetime byte quota of the sandbox, inbound plus outbound; null: no limit. */
  readonly maxBytes: number | null;
  readonly previous: PreviousLog;
  /** Whether to refuse TLS clients that send an encrypted client hello, real or grease; default: false. */
  readonly refuseEch?: boolean;
  /** What TLS termination needs; null: connections that would need termination are refused. */
  readonly tls: TlsKeyProvider | null;
  /** Called with every connection once it is closed, and every refused query. */
  readonly onEntry: (entry: ConnectionEntry) => void;
  /** Called with an internal error that occurred while relaying a connection; the connection is closed. */
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

  /** Takes over a connection made by a program in the sandbox. */
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

  /** Answers a DNS query; null for bytes that are not a query. */
  async answerQuery(bytes: Buffer): Promise<Buffer | null> {
    const answer = await answerQuery(bytes, this.#context.policy(), this.#context.names, MAX_UDP_ANSWER);
    if (answer?.refused) this.#log.add(refusedQueryEntry(answer.refused));
    this.countBytes({ in: answer?.bytes.length ?? 0, out: bytes.length });
    return answer?.bytes ?? null;
  }

  /** Applies a policy and closes the connections that it does not allow. */
  setPolicy(policy: Policy): void {
    this.#policy = policy;
    for (const tracked of this.#open) tracked.reevaluate(policy);
  }

  /** Counts bytes moved since the last call. Once the quota is used up, no further traffic passes. */
  countBytes(moved: ByteCounts): void {
    this.#bytesIn += moved.in;
    this.#bytesOut += moved.out;
    if (this.remainingBytes() === 0) this.exceedQuota();
  }

  /** Bytes left in the quota; null: no limit. */
  remainingBytes(): number | null {
    const { maxBytes } = this.#options;
    return maxBytes === null ? null : Math.max(0, maxBytes - this.#bytesIn - this.#bytesOut);
  }

  /** Ends all traffic permanently: the quota is used up. */
  exceedQuota(): void {
    if (this.#quotaPolicy !== null) return;
    this.#quotaPolicy = quotaExceededPolicy(this.#options.maxBytes ?? 0);
    for (const tracked of this.#open) tracked.reevaluate(this.#quotaPolicy);
  }

  /** Totals over the sandbox's whole life, as far as known; open connections are not included. */
  totals(): NetworkTotals {
    return { ...this.#log.counts, bytesIn: this.#bytesIn, bytesOut: this.#bytesOut };
  }

  activity(): NetworkActivity {
    // A refused program may be gone before its connection is known to be closed.
    const open = [...this.#open].map(({ entry }) => entry);
    const { bytesIn, bytesOut } = this.totals();
    return { ...this.#log.activity(open), bytesIn, bytesOut, maxBytes: this.#options.maxBytes };
  }

  /** Closes all connections. */
  close(): void {
    for (const tracked of this.#open) tracked.terminate('the gateway was closed');
  }
}
