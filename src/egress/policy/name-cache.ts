/** Resolves names for the gateway, and remembers which names led a sandbox to which address. */
import { Resolver } from 'node:dns/promises';
import { systemErrorCode } from '../../shared/errors.ts';

export interface Resolution {
  readonly addresses: readonly string[];
  /** Seconds that an answer may be kept. */
  readonly ttl: number;
}

/** Asks for the IPv4 addresses of a name; a name that has none answers an empty list. Rejects where nobody answers. */
export type Lookup = (name: string) => Promise<Resolution>;

const TIMEOUT_MS = 3_000;
const TRIES = 2;
const MIN_TTL_S = 5;
const MAX_TTL_S = 300;
const MAX_KEPT = 4_096;
const MAX_NAMES_PER_ADDRESS = 64;
/** Programs go on using an address for a while after its time is up. */
const ADDRESS_MEMORY_MS = 3_600_000;

/** A resolver that asks these servers (`address` or `address:port`), or the host's own where the list is empty. */
export function systemLookup(servers: readonly string[]): Lookup {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES });
  if (servers.length > 0) resolver.setServers(servers);
  return async (name) => {
    try {
      const records = await resolver.resolve4(name, { ttl: true });
      const ttl = Math.min(...records.map((record) => record.ttl));
      return {
        addresses: records.map(({ address }) => address),
        ttl: Math.max(MIN_TTL_S, Math.min(MAX_TTL_S, ttl)),
      };
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'ENOTFOUND' || code === 'ENODATA') return { addresses: [], ttl: MIN_TTL_S };
      throw error;
    }
  };
}

/** One sandbox's view of names: answers are kept for their time, and each address knows what led to it. */
export class NameCache {
  readonly #lookup: Lookup;
  readonly #answers = new Map<string, { resolution: Resolution; until: number }>();
  readonly #namesByAddress = new Map<string, Map<string, number>>();

  constructor(lookup: Lookup) {
    this.#lookup = lookup;
  }

  /** The addresses of a normalized name. */
  async resolve(name: string): Promise<Resolution> {
    const kept = this.#answers.get(name);
    if (kept !== undefined && kept.until > performance.now()) return kept.resolution;
    const resolution = await this.#lookup(name);
    if (this.#answers.size >= MAX_KEPT) this.#answers.clear();
    this.#answers.set(name, { resolution, until: performance.now() + resolution.ttl * 1_000 });
    return resolution;
  }

  /** Notes that the sandbox was told these addresses for a name. */
  recordAnswer(name: string, addresses: readonly string[]): void {
    if (this.#namesByAddress.size >= MAX_KEPT) this.#namesByAddress.clear();
    for (const address of addresses) {
      const names = this.#namesByAddress.get(address) ?? new Map<string, number>();
      if (names.size >= MAX_NAMES_PER_ADDRESS) names.clear();
      // Told again, it is the latest.
      names.delete(name);
      names.set(name, performance.now() + ADDRESS_MEMORY_MS);
      this.#namesByAddress.set(address, names);
    }
  }

  /** The names that the sandbox was told this address for, the latest first. */
  namesFor(address: string): string[] {
    const names = [...(this.#namesByAddress.get(address) ?? [])].filter(
      ([, until]) => until > performance.now(),
    );
    return names.map(([name]) => name).reverse();
  }
}
