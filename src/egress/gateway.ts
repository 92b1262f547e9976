/** The way out of one sandbox: judges what it is handed, carries what is allowed, remembers what was not. */
import { networkInterfaces } from 'node:os';
import { Carried } from './carried.ts';
import { carry } from './carry.ts';
import { ConnectionLog, type Entry, type NetworkActivity } from './connection-log.ts';
import type { GatewayContext, Redirected } from './context.ts';
import { answerQuery } from './dns.ts';
import { dnsRefusal } from './gateway-dns.ts';
import { type Lookup, Names } from './names.ts';
import type { Policy } from './policy.ts';
import type { TlsKeys } from './tls-keys.ts';

export interface GatewayOptions {
  readonly policy: Policy;
  readonly lookup: Lookup;
  /** What terminating TLS takes; left out, what would need it is refused. */
  readonly tls?: TlsKeys | null;
  /** Handed every connection once it is over, and every refused query. */
  readonly onEntry: (entry: Entry) => void;
  /** A defect, met while carrying a connection, which is cut. */
  readonly onDefect: (error: unknown) => void;
}

export class Gateway {
  readonly #context: GatewayContext;
  readonly #log: ConnectionLog;
  readonly #open = new Set<Carried>();
  readonly #onDefect: (error: unknown) => void;
  #policy: Policy;

  constructor(options: GatewayOptions) {
    this.#policy = options.policy;
    this.#log = new ConnectionLog(options.onEntry);
    this.#onDefect = options.onDefect;
    this.#context = {
      policy: () => this.#policy,
      names: new Names(options.lookup),
      log: this.#log,
      tls: options.tls ?? null,
    };
  }

  /** Takes a connection that a program of the sandbox made. */
  take(connection: Redirected): void {
    const carried = new Carried(connection, this.#context, (ended) => this.#open.delete(ended));
    this.#open.add(carried);
    carry(carried, this.#context).catch((error: unknown) => {
      connection.stream.destroy();
      this.#onDefect(error);
    });
  }

  /** Answers a DNS query; null for bytes that are none. */
  async query(bytes: Buffer): Promise<Buffer | null> {
    const answer = await answerQuery(bytes, this.#policy, this.#context.names);
    if (answer?.refused) this.#log.add(dnsRefusal(answer.refused));
    return answer?.bytes ?? null;
  }

  /** Puts a policy in force, and cuts the connections that it does not allow. */
  enforce(policy: Policy): void {
    this.#policy = policy;
    for (const carried of this.#open) carried.rejudge(policy);
  }

  activity(): NetworkActivity {
    const sums = this.#log.activity();
    for (const carried of this.#open) {
      const bytes = carried.bytes();
      sums.connections += 1;
      sums.bytesIn += bytes.in;
      sums.bytesOut += bytes.out;
    }
    return sums;
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
