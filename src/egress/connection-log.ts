/** What went out of a sandbox, or was kept from it: the last entries, and the sums of all. */

export interface Entry {
  /** Epoch ms. */
  time: number;
  protocol: 'tcp' | 'tls' | 'http' | 'dns';
  /** Null where the program showed none. */
  domain: string | null;
  /** Empty for a DNS query. */
  address: string;
  port: number;
  verdict: 'allowed' | 'refused' | 'failed' | 'cut';
  /** The rule that decided, or why it failed. */
  rule: string;
  /** Into and out of the sandbox. */
  bytesIn: number;
  bytesOut: number;
}

/** What a sandbox's network did so far, as far as this process carried it. */
export interface NetworkActivity {
  connections: number;
  refused: number;
  bytesIn: number;
  bytesOut: number;
  /** The latest first. */
  lastRefused: { time: number; domain: string | null; address: string; port: number; rule: string }[];
}

const KEPT = 200;
const SHOWN = 5;

export class ConnectionLog {
  readonly #entries: Entry[] = [];
  readonly #onEnd: (entry: Entry) => void;
  #connections = 0;
  #refused = 0;
  #bytesIn = 0;
  #bytesOut = 0;

  /** @param onEnd is handed every entry once it is complete */
  constructor(onEnd: (entry: Entry) => void) {
    this.#onEnd = onEnd;
  }

  /** Takes an entry whose connection is over. */
  add(entry: Entry): void {
    this.#connections += entry.protocol === 'dns' ? 0 : 1;
    this.#refused += entry.verdict === 'refused' || entry.verdict === 'cut' ? 1 : 0;
    this.#bytesIn += entry.bytesIn;
    this.#bytesOut += entry.bytesOut;
    this.#entries.push(entry);
    if (this.#entries.length > KEPT) this.#entries.shift();
    this.#onEnd(entry);
  }

  activity(): NetworkActivity {
    const lastRefused = this.#entries
      .filter(({ verdict }) => verdict === 'refused' || verdict === 'cut')
      .slice(-SHOWN)
      .reverse()
      .map(({ time, domain, address, port, rule }) => ({ time, domain, address, port, rule }));
    return {
      connections: this.#connections,
      refused: this.#refused,
      bytesIn: this.#bytesIn,
      bytesOut: this.#bytesOut,
      lastRefused,
    };
  }
}
