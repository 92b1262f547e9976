/**
 * Answers the DNS queries of a sandbox: for names that its policy allows, and with addresses that it may
 * connect to.
 */
import { type Answer, decode, encode, type Question } from 'dns-packet';
import { normalizeName } from '../../shared/domains.ts';
import { parseAddress } from '../policy/ip-ranges.ts';
import {
  type DnsRecord,
  isRecordType,
  type NameCache,
  RECORD_TTL_S,
  type RecordType,
} from '../policy/name-cache.ts';
import type { Decision, Policy } from '../policy/policy.ts';

/** RFC 1035, 4.1.1. */
const RCODE = { ok: 0, format: 1, serverFailure: 2, noSuchName: 3, refused: 5 } as const;
const TRUNCATED = 0x0200;
const RECURSION_DESIRED = 0x0100;
const RECURSION_AVAILABLE = 0x0080;
const MAX_ADDRESSES = 16;
const HEADER_BYTES = 12;
/** Of the counts of questions, answers, authorities and additionals in the header (RFC 1035, 4.1.1). */
const COUNTS_AT = [4, 6, 8, 10] as const;
/** A question about the root: an empty name, a type and a class. */
const LEAST_ENTRY_BYTES = 5;
/** Response size that every program accepts over UDP (RFC 1035, 4.2.1). */
export const MAX_UDP_ANSWER = 512;
export const MAX_TCP_ANSWER = 65_535;

export interface DnsAnswer {
  readonly bytes: Buffer;
  /** What was refused, and by which rule; null if nothing was. */
  readonly refused: { readonly name: string; readonly decision: Decision } | null;
}

/**
 * Answers one query.
 *
 * A queries get the addresses that the sandbox may connect to. AAAA queries get an empty answer, as from a
 * host without IPv6, since resolvers treat a refusal as a failure of the whole name. CNAME, MX, NS, PTR, SRV
 * and TXT records are looked up; all other types are refused, including HTTPS and SVCB, whose keys would hide
 * the name that a program connects to.
 *
 * @param maxBytes of the answer; a longer one is marked as truncated, and the program retries over TCP
 * @returns null for bytes that are not a query
 */
export async function answerQuery(
  query: Buffer,
  policy: Policy,
  names: NameCache,
  maxBytes: number,
): Promise<DnsAnswer | null> {
  const parsed = parseQuery(query);
  if (parsed === null) return null;
  const { id, flags, questions } = parsed;
  const reply = (rcode: number, answers: readonly Answer[] = [], extraFlags = 0): Buffer =>
    encode({
      type: 'response',
      id,
      flags: RECURSION_AVAILABLE | flags | extraFlags | rcode,
      questions,
      answers: [...answers],
    });
  const plain = (rcode: number): DnsAnswer => ({ bytes: reply(rcode), refused: null });

  const [question] = questions;
  if (question === undefined || questions.length > 1) return plain(RCODE.format);
  const name = normalizeName(question.name);
  if (name === null) return plain(RCODE.noSuchName);
  const refuse = (decision: Decision): DnsAnswer => ({
    bytes: reply(RCODE.refused),
    refused: { name, decision },
  });
  const decision = evaluateQuery(policy, name);
  // Refused without asking a name server: the query for a forbidden name could itself carry data out.
  if (!decision.allowed) return refuse(decision);
  // Refusing these would fail the whole name: see above.
  if (question.type === 'AAAA') return plain(RCODE.ok);
  const { type } = question;
  if (type !== 'A' && !isRecordType(type))
    return refuse({ allowed: false, rule: `DNS records of type ${type} are not supported` });
  const found = await find(name, type, policy, names);
  if (found === null) return plain(RCODE.serverFailure);
  if (found.refusal !== null) return refuse(found.refusal);
  const answer = (): Buffer =>
    reply(
      found.rcode,
      found.records.map((record) => ({ ...record, name: question.name, class: 'IN' })),
    );
  if (type === 'A') {
    // A program needs no more addresses than fit; at least one always does.
    while (found.records.length > 1 && answer().length > MAX_UDP_ANSWER) found.records.pop();
    names.recordAnswer(
      name,
      found.records.flatMap((record) => (record.type === 'A' ? [record.data] : [])),
    );
  }
  const bytes = answer();
  const tooLong = type !== 'A' && bytes.length > maxBytes;
  return { bytes: tooLong ? reply(RCODE.ok, [], TRUNCATED) : bytes, refused: null };
}

interface Found {
  readonly rcode: number;
  readonly records: ((DnsRecord | { type: 'A'; data: string }) & { ttl: number })[];
  /** Why the sandbox may connect to no address of the name. */
  readonly refusal: Decision | null;
}

/** Null if no name server answers. */
async function find(
  name: string,
  type: 'A' | RecordType,
  policy: Policy,
  names: NameCache,
): Promise<Found | null> {
  try {
    if (type === 'A') return await findAddresses(name, policy, names);
    return toFound(await names.resolveRecords(name, type));
  } catch {
    return null;
  }
}

function toFound(records: readonly DnsRecord[] | null): Found {
  if (records === null) return { rcode: RCODE.noSuchName, records: [], refusal: null };
  return {
    rcode: RCODE.ok,
    records: records.map((record) => ({ ...record, ttl: RECORD_TTL_S })),
    refusal: null,
  };
}

async function findAddresses(name: string, policy: Policy, names: NameCache): Promise<Found> {
  const { addresses, ttl, nameExists = false } = await names.resolve(name);
  const forbidden = addresses.map((address) => forbiddenAt(policy, address));
  const usable = addresses.filter((_, index) => forbidden[index] === null).slice(0, MAX_ADDRESSES);
  return {
    rcode: usable.length > 0 || nameExists ? RCODE.ok : RCODE.noSuchName,
    records: usable.map((data) => ({ type: 'A', data, ttl })),
    refusal: usable.length === 0 ? (forbidden[0] ?? null) : null,
  };
}

/**
 * Service names lie below their domain (`_https._tcp.example.com`): a policy that allows the domain allows
 * them too.
 */
function evaluateQuery(policy: Policy, name: string): Decision {
  const decision = policy.evaluateName(name);
  if (decision.allowed) return decision;
  const domain = name.replace(/^(_[^.]*\.)+/, '');
  const byDomain = domain === '' ? decision : policy.evaluateName(domain);
  return byDomain.allowed ? byDomain : decision;
}

/**
 * Why a program may connect to no port of an address; null if some port is allowed, which the connection
 * decides.
 */
function forbiddenAt(policy: Policy, text: string): Decision | null {
  const address = parseAddress(text);
  return address === null
    ? { allowed: false, rule: `${text} is not an address` }
    : policy.forbids(address, null);
}

function parseQuery(query: Buffer): { id: number; flags: number; questions: Question[] } | null {
  if (!hasRoomForItsEntries(query)) return null;
  try {
    const packet = decode(query);
    if (packet.type !== 'query') return null;
    const flags = (packet.flags ?? 0) & RECURSION_DESIRED;
    return { id: packet.id ?? 0, flags, questions: packet.questions ?? [] };
  } catch {
    return null;
  }
}

/**
 * False if the header counts more entries than the packet can hold. The decoder reserves memory for as many as are
 * counted, up to 260,000, which takes milliseconds: far longer than a sandbox takes to send 12 bytes.
 */
function hasRoomForItsEntries(query: Buffer): boolean {
  if (query.length < HEADER_BYTES) return false;
  let entries = 0;
  for (const at of COUNTS_AT) entries += query.readUInt16BE(at);
  return entries * LEAST_ENTRY_BYTES <= query.length - HEADER_BYTES;
}
