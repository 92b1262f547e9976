/** What went out of a sandbox, or was kept from it: the last entries, and the sums of all. */

export interface ConnectionEntry {
  /** Epoch ms. */
  time: number;
  protocol: 'tcp' | 'tls' | 'http' | 'dns';
  /** Null where the program showed none. */
  domain: string | null;
  /** Empty for a DNS query. */
  address: string;
  port: number;
  outcome: 'allowed' | 'refused' | 'failed' | 'cut';
  /** The rule that decided, or why it failed. */
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

/** What is known of a sandbox's network from before: of another server, or of none. */
export interface PreviousLog {
  readonly entries: readonly ConnectionEntry[];
  readonly totals: NetworkTotals;
}

/** What a sandbox's network did so far. */
export interface NetworkActivity extends NetworkTotals {
  /** The most bytes, in and out together; null: no limit. */
  maxBytes: number | null;
  /** The latest first. */
  lastRefused: { time: number; domain: string | null; address: string; port: number; rule: string }[];
}

const KEPT = 200;
const SHOWN = 5;

export class ConnectionLog {
  readonly #entries: ConnectionEntry[];
  readonly #onEnd: (entry: ConnectionEntry) => void;
  #connections: number;
  #refused: number;

  /** @param onEnd is handed every entry once it is complete */
  constructor(before: PreviousLog, onEnd: (entry: ConnectionEntry) => void) {
    this.#entries = before.entries.slice(-KEPT);
    this.#connections = before.totals.connections;
    this.#refused = before.totals.refused;
    this.#onEnd = onEnd;
  }

  /** Takes an entry whose connection is over. */
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

  /** The sums of connections, with those that are still open, and what was refused last. */
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

/** What is known of a sandbox that this process carries nothing for. */
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
