/** IP addresses and ranges: parsed by one library, compared as numbers, never as text. */
import ipaddr from 'ipaddr.js';

export type Address = ipaddr.IPv4 | ipaddr.IPv6;

export interface Range {
  /** As it was written. */
  readonly text: string;
  readonly base: Address;
  readonly bits: number;
  /** Null: all ports. */
  readonly port: number | null;
}

/**
 * Never dialled unless the operator allows them (RFC 6890 and the ranges that clouds use for their metadata
 * services).
 */
const CLOSED: readonly (readonly [range: string, what: string])[] = [
  ['0.0.0.0/8', 'this host'],
  ['10.0.0.0/8', 'private'],
  ['100.64.0.0/10', 'carrier-grade NAT'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link-local and metadata'],
  ['172.16.0.0/12', 'private'],
  ['192.0.0.0/24', 'protocol assignment'],
  ['192.168.0.0/16', 'private'],
  ['198.18.0.0/15', 'benchmarking'],
  ['168.63.129.16/32', 'metadata'],
  ['192.88.99.0/24', '6to4 relay'],
  ['224.0.0.0/4', 'multicast'],
  ['240.0.0.0/4', 'reserved and broadcast'],
  ['::/128', 'this host'],
  ['::1/128', 'loopback'],
  ['64:ff9b::/96', 'NAT64'],
  ['64:ff9b:1::/48', 'NAT64'],
  ['2001::/32', 'Teredo'],
  ['2002::/16', '6to4'],
  ['fc00::/7', 'private'],
  ['fe80::/10', 'link-local'],
  ['fec0::/10', 'site-local'],
  ['ff00::/8', 'multicast'],
];

/**
 * An address in canonical form; IPv4 inside IPv6 becomes IPv4. Null for anything else, unusual spellings
 * included.
 */
export function parseAddress(text: string): Address | null {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  if (!text.includes(':') || text.includes('%') || !ipaddr.IPv6.isValid(text)) return null;
  return plain(ipaddr.IPv6.parse(text));
}

/** IPv4-mapped (`::ffff:1.2.3.4`) and IPv4-compatible (`::1.2.3.4`) addresses lead to the IPv4 host. */
function plain(address: ipaddr.IPv6): Address {
  if (address.isIPv4MappedAddress()) return address.toIPv4Address();
  const bytes = address.toByteArray();
  const compatible = bytes.slice(0, 12).every((byte) => byte === 0) && bytes.slice(12, 15).some((b) => b > 0);
  return compatible ? new ipaddr.IPv4(bytes.slice(12)) : address;
}

/** `10.0.0.0/8`, a bare address, or `[2001:db8::]/32`; null if it is not a range. */
export function parseRange(text: string): Range | null {
  return rangeOf(text, text, null);
}

/** A range, optionally restricted to one port: `10.1.2.3/32:5432`, `[fd00::1]:443`. */
export function parseRangeWithPort(text: string): Range | null {
  const match = /^(\[[^\]]*\](?:\/\d+)?|[0-9.]+(?:\/\d+)?):(\d{1,5})$/.exec(text);
  if (match === null) return rangeOf(text, text, null);
  const port = Number(match[2]);
  if (port < 1 || port > 65_535) return null;
  return rangeOf(text, match[1] ?? '', port);
}

function rangeOf(written: string, text: string, port: number | null): Range | null {
  const [address = '', bitsText, ...more] = text.replace(/^\[([^\]]*)\]/, '$1').split('/');
  if (more.length > 0 || (bitsText !== undefined && !/^\d{1,3}$/.test(bitsText))) return null;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.test(address);
  const base = parseAddress(address);
  if (base === null) return null;
  const width = base.kind() === 'ipv4' ? 32 : 128;
  const given = bitsText === undefined ? width : Number(bitsText) - (mapped && bitsText ? 96 : 0);
  if (given < 0 || given > width) return null;
  return { text: written, base, bits: given, port };
}

/**
 * True if the range contains the address and, if it names a port, the port matches; a null port matches any.
 */
export function holds(range: Range, address: Address, port: number | null): boolean {
  if (range.port !== null && port !== null && range.port !== port) return false;
  return range.base.kind() === address.kind() && address.match(range.base, range.bits);
}

const CLOSED_RANGES = CLOSED.map(([text, what]) => {
  const range = parseRange(text);
  if (range === null) throw new Error(`${text} is not a range`);
  return { range, what };
});

/** Why no sandbox may reach an address by default, e.g. `loopback`; null if it may. */
export function closedBecause(address: Address): string | null {
  return CLOSED_RANGES.find(({ range }) => holds(range, address, 0))?.what ?? null;
}
