/** Resolves names for the gateway, and remembers the names for which a sandbox was given each address. */
import { Resolver } from 'node:dns/promises';
import { systemErrorCode } from '../../shared/errors.ts';

export interface Resolution {
  readonly addresses: readonly string[];
  /** Time to live, in seconds. */
  readonly ttl: number;
  /** True if the name exists although it has no addresses. */
  readonly nameExists?: boolean;
}

/**
 * Looks up the IPv4 addresses of a name; resolves with an empty list if it has none. Rejects if no name
 * server answers.
 */
export type Lookup = (name: string) => Promise<Resolution>;

/** The record types that the gateway answers besides addresses: mail, service discovery and verification. */
const RECORD_TYPES = ['CNAME', 'MX', 'NS', 'PTR', 'SRV', 'TXT'] as const;
export type RecordType = (typeof RECORD_TYPES)[number];

export type DnsRecord =
  | { readonly type: 'CNAME' | 'NS' | 'PTR'; readonly data: string }
  | { readonly type: 'MX'; readonly data: { preference: number; exchange: string } }
  | {
      readonly type: 'SRV';
      readonly data: { priority: number; weight: number; port: number; target: string };
    }
  | { readonly type: 'TXT'; readonly data: string[] };

/** Looks up records of a name; null if there is no such name. Rejects if no name server answers. */
export type RecordLookup = (name: string, type: RecordType) => Promise<readonly DnsRecord[] | null>;

export function isRecordType(type: string): type is RecordType {
  return RECORD_TYPES.some((known) => known === type);
}

/** The resolver reports no time to live for these. */
export const RECORD_TTL_S = 60;
const TIMEOUT_MS = 3_000;
const TRIES = 2;
const MIN_TTL_S = 5;
const MAX_TTL_S = 300;
const MAX_KEPT = 4_096;
const MAX_NAMES_PER_ADDRESS = 64;
/** Programs keep using an address for a while after its time to live. */
const ADDRESS_MEMORY_MS = 3_600_000;

/** Queries these name servers (`address` or `address:port`), or the host's own if the list is empty. */
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
      if (code === 'ENOTFOUND' || code === 'ENODATA')
        return { addresses: [], ttl: MIN_TTL_S, nameExists: code === 'ENODATA' };
      throw error;
    }
  };
}

/** Looks up other records on the same servers as `systemLookup`. */
export function systemRecordLookup(servers: readonly string[]): RecordLookup {
  const resolver = new Resolver({ timeout: TIMEOUT_MS, tries: TRIES });
  if (servers.length > 0) resolver.setServers(servers);
  return async (name, type) => {
    try {
      return await resolveRecords(resolver, name, type);
    } catch (error) {
      const code = systemErrorCode(error);
      if (code === 'ENODATA') return [];
      if (code === 'ENOTFOUND') return null;
      throw error;
    }
  };
}

async function resolveRecords(resolver: Resolver, name: string, type: RecordType): Promise<DnsRecord[]> {
  switch (type) {
    case 'CNAME':
      return (await resolver.resolveCname(name)).map((data) => ({ type, data }));
    case 'NS':
      return (await resolver.resolveNs(name)).map((data) => ({ type, data }));
    case 'PTR':
      return (await resolver.resolvePtr(name)).map((data) => ({ type, data }));
    case 'TXT':
      return (await resolver.resolveTxt(name)).map((data) => ({ type, data }));
    case 'MX':
      return (await resolver.resolveMx(name)).map(({ priority, exchange }) => ({
        type,
        data: { preference: priority, exchange },
      }));
    case 'SRV':
      return (await resolver.resolveSrv(name)).map(({ name: target, port, priority, weight }) => ({
        type,
        data: { priority, weight, port, target },
      }));
  }
}

const noRecords: RecordLookup = () => Promise.resolve([]);

/**
 * The names of one sandbox: caches answers for their time to live, and remembers which names led to each
 * address.
 */
export class NameCache {
  readonly #lookup: Lookup;
  readonly #lookupRecords: RecordLookup;
  readonly #answers = new Map<string, { resolution: Resolution; until: number }>();
  readonly #namesByAddress = new Map<string, Map<string, number>>();

  constructor(lookup: Lookup, lookupRecords: RecordLookup = noRecords) {
    this.#lookup = lookup;
    this.#lookupRecords = lookupRecords;
  }

  /** Records of a normalized name, uncached; null if there is no such name. */
  resolveRecords(name: string, type: RecordType): Promise<readonly DnsRecord[] | null> {
    return this.#lookupRecords(name, type);
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

  /** Records that the sandbox was given these addresses for a name. */
  recordAnswer(name: string, addresses: readonly string[]): void {
    if (this.#namesByAddress.size >= MAX_KEPT) this.#namesByAddress.clear();
    for (const address of addresses) {
      const names = this.#namesByAddress.get(address) ?? new Map<string, number>();
      if (names.size >= MAX_NAMES_PER_ADDRESS) names.clear();
      // The most recent answer is last.
      names.delete(name);
      names.set(name, performance.now() + ADDRESS_MEMORY_MS);
      this.#namesByAddress.set(address, names);
    }
  }

  /** The names for which the sandbox was given this address, most recent first. */
  namesFor(address: string): string[] {
    const names = [...(this.#namesByAddress.get(address) ?? [])].filter(
      ([, until]) => until > performance.now(),
    );
    return names.map(([name]) => name).reverse();
  }
}
