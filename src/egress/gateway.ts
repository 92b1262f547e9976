/** The way out of one sandbox: judges what it is handed, remembers what went and what was refused. */
import { networkInterfaces } from 'node:os';
import {
  ConnectionLog,
  type Entry,
  type LogBefore,
  type NetworkActivity,
  type Sums,
} from './connection/connection-log.ts';
import type { GatewayContext, Moved, Redirected } from './connection/context.ts';
import type { TlsKeys } from './connection/tls-trust.ts';
import { Carried } from './connection/tracked-connection.ts';
import { answerQuery } from './dns/answer-query.ts';
import { dnsRefusal } from './dns/dns-log-entry.ts';
import { type Lookup, Names } from './policy/name-cache.ts';
import type { Policy } from './policy/policy.ts';
import { spentPolicy } from './policy/quota-exceeded.ts';
import { carry } from './route-connection.ts';

export interface GatewayOptions {
  readonly policy: Policy;
  readonly lookup: Lookup;
  /** The most bytes, in and out together, over the sandbox's whole life; null: no limit. */
  readonly maxBytes: number | null;
  readonly before: LogBefore;
  /** What terminating TLS takes; null: what would need it is refused. */
  readonly tls: TlsKeys | null;
  /** Handed every connection once it is over, and every refused query. */
  readonly onEntry: (entry: Entry) => void;
  /** A defect, met while carrying a connection, which is cut. */
  readonly onDefect: (error: unknown) => void;
}

export class Gateway {
  readonly #context: GatewayContext;
  readonly #log: ConnectionLog;
  readonly #open = new Set<Carried>();
  readonly #options: GatewayOptions;
  #policy: Policy;
  #bytesIn: number;
  #bytesOut: number;
  #spent: Policy | null = null;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#policy = options.policy;
    this.#bytesIn = options.before.sums.bytesIn;
    this.#bytesOut = options.before.sums.bytesOut;
    this.#log = new ConnectionLog(options.before, options.onEntry);
    this.#context = {
      policy: () => this.#spent ?? this.#policy,
      names: new Names(options.lookup),
      log: this.#log,
      tls: options.tls,
    };
    this.count({ in: 0, out: 0 });
  }

  /** Takes a connection that a program of the sandbox made. */
  take(connection: Redirected): void {
    const carried = new Carried(connection, this.#context);
    this.#open.add(carried);
    const ended = async () => {
      const moved = await connection.closed;
      this.#open.delete(carried);
      this.#log.add(carried.end(moved));
    };
    Promise.all([ended(), carry(carried, this.#context)]).catch((error: unknown) => {
      connection.cut();
      this.#options.onDefect(error);
    });
  }

  /** Answers a DNS query; null for bytes that are none. */
  async query(bytes: Buffer): Promise<Buffer | null> {
    const answer = await answerQuery(bytes, this.#context.policy(), this.#context.names);
    if (answer?.refused) this.#log.add(dnsRefusal(answer.refused));
    this.count({ in: answer?.bytes.length ?? 0, out: bytes.length });
    return answer?.bytes ?? null;
  }

  /** Puts a policy in force, and cuts the connections that it does not allow. */
  enforce(policy: Policy): void {
    this.#policy = policy;
    for (const carried of this.#open) carried.rejudge(policy);
  }

  /** Counts bytes that were moved since the last time. Where they are the last ones allowed, nothing passes any more. */
  count(moved: Moved): void {
    this.#bytesIn += moved.in;
    this.#bytesOut += moved.out;
    if (this.left() === 0) this.spend();
  }

  /** Bytes that may still be moved; null: no limit. */
  left(): number | null {
    const { maxBytes } = this.#options;
    return maxBytes === null ? null : Math.max(0, maxBytes - this.#bytesIn - this.#bytesOut);
  }

  /** Ends all traffic for good: what was allowed is used up. */
  spend(): void {
    if (this.#spent !== null) return;
    this.#spent = spentPolicy(this.#options.maxBytes ?? 0);
    for (const carried of this.#open) carried.rejudge(this.#spent);
  }

  /** Counts over all of the sandbox's life, as far as it is known; connections that are open do not count yet. */
  sums(): Sums {
    return { ...this.#log.counts, bytesIn: this.#bytesIn, bytesOut: this.#bytesOut };
  }

  activity(): NetworkActivity {
    // A program that was refused may be gone before its connection is known to be over.
    const open = [...this.#open].map(({ entry }) => entry);
    const { bytesIn, bytesOut } = this.sums();
    return { ...this.#log.activity(open), bytesIn, bytesOut, maxBytes: this.#options.maxBytes };
  }

  /** Cuts everything. */
  close(): void {
    for (const carried of this.#open) carried.cut('the gateway has closed');
  }
}

/** The addresses of this host's interfaces, as the system spells them. */
export function hostAddresses(): string[] {
  return Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address));
}
