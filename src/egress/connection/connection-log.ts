/** The connections of a sandbox, allowed and refused: the most recent entries and the totals of all. */

export interface ConnectionEntry {
  /** Epoch ms. */
  time: number;
  protocol: 'tcp' | 'tls' | 'http' | 'dns';
  /** Null if the program named no host. */
  domain: string | null;
  /** Empty for a DNS query. */
  address: string;
  port: number;
  outcome: 'allowed' | 'refused' | 'failed' | 'cut';
  /** The rule that decided, or the reason for the failure. */
  rule: string;
  /** Into and out of the sandbox. */
  bytesIn: number;
  bytesOut: number;
}

export interface NetworkTotals {
  connections: number;
  refused: number;
  bytesIn: number;
  bytesOut: number;
}

/** Totals carried over from an earlier server; used when a sandbox's network is reopened. */
export interface PreviousLog {
  readonly entries: readonly ConnectionEntry[];
  readonly totals: NetworkTotals;
}

/** A sandbox's network activity so far. */
export interface NetworkActivity extends NetworkTotals {
  /** Byte quota, inbound plus outbound; null: no limit. */
  maxBytes: number | null;
  /** Newest first. */
  lastRefused: { time: number; domain: string | null; address: string; port: number; rule: string }[];
}

const KEPT = 200;
const SHOWN = 5;

export class ConnectionLog {
  readonly #entries: ConnectionEntry[];
  readonly #onEnd: (entry: ConnectionEntry) => void;
  #connections: number;
  #refused: number;

  /** @param onEnd called with every entry once it is complete */
  constructor(before: PreviousLog, onEnd: (entry: ConnectionEntry) => void) {
    this.#entries = before.entries.slice(-KEPT);
    this.#connections = before.totals.connections;
    this.#refused = before.totals.refused;
    this.#onEnd = onEnd;
  }

  /** Records the entry of a closed connection. */
  add(entry: ConnectionEntry): void {
    this.#connections += entry.protocol === 'dns' ? 0 : 1;
    this.#refused += isRefusal(entry) ? 1 : 0;
    this.#entries.push(entry);
    if (this.#entries.length > KEPT) this.#entries.shift();
    this.#onEnd(entry);
  }

  get counts(): { connections: number; refused: number } {
    return { connections: this.#connections, refused: this.#refused };
  }

  /** Totals of all connections, open ones included, and the most recent refusals. */
  activity(
    open: readonly ConnectionEntry[],
  ): Pick<NetworkActivity, 'connections' | 'refused' | 'lastRefused'> {
    return {
      connections: this.#connections + open.length,
      refused: this.#refused + open.filter(isRefusal).length,
      lastRefused: lastRefusedOf([...this.#entries, ...open]),
    };
  }
}

/** The activity of a sandbox whose traffic is not handled by this process. */
export function activityOf({ totals: sums, entries }: PreviousLog, maxBytes: number | null): NetworkActivity {
  return { ...sums, maxBytes, lastRefused: lastRefusedOf(entries) };
}

function lastRefusedOf(entries: readonly ConnectionEntry[]): NetworkActivity['lastRefused'] {
  return entries
    .filter(isRefusal)
    .slice(-SHOWN)
    .reverse()
    .map(({ time, domain, address, port, rule }) => ({ time, domain, address, port, rule }));
}

function isRefusal({ outcome: decision }: ConnectionEntry): boolean {
  return decision === 'refused' || decision === 'cut';
}
