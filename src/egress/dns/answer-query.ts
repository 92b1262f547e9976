/** Answers the DNS queries of a sandbox: names that its policy allows, and addresses that may be dialled. */
import { type Answer, decode, encode, type Question } from 'dns-packet';
import { normalizeName } from '../../shared/domains.ts';
import { parseAddress } from '../policy/ip-ranges.ts';
import type { NameCache } from '../policy/name-cache.ts';
import type { Decision, Policy } from '../policy/policy.ts';

/** RFC 1035, 4.1.1. */
const RCODE = { ok: 0, format: 1, serverFailure: 2, noSuchName: 3, refused: 5 } as const;
const RECURSION_DESIRED = 0x0100;
const RECURSION_AVAILABLE = 0x0080;
const MAX_ADDRESSES = 16;
/** Bytes that every program takes by UDP (RFC 1035, 4.2.1). */
const MAX_ANSWER = 512;

export interface DnsAnswer {
  readonly bytes: Buffer;
  /** What was refused, and by which rule; null where nothing was. */
  readonly refused: { readonly name: string; readonly decision: Decision } | null;
}

/**
 * Answers one query. Types other than A have no records here: there is no IPv6 way out, and the others would let a
 * program carry data to and fro, or learn keys (HTTPS records) that hide the name it connects to.
 * @returns null for bytes that are no query
 */
export async function answerQuery(
  query: Buffer,
  policy: Policy,
  names: NameCache,
): Promise<DnsAnswer | null> {
  const asked = readQuery(query);
  if (asked === null) return null;
  const { id, flags, questions } = asked;
  const reply = (rcode: number, answers: Answer[] = []): Buffer =>
    encode({ type: 'response', id, flags: RECURSION_AVAILABLE | flags | rcode, questions, answers });
  const plain = (rcode: number): DnsAnswer => ({ bytes: reply(rcode), refused: null });

  const [question] = questions;
  if (question === undefined || questions.length > 1) return plain(RCODE.format);
  const name = normalizeName(question.name);
  if (name === null) return plain(RCODE.noSuchName);
  const decision = policy.evaluateName(name);
  // Refused without asking anybody: a name that may not be looked up may not carry data out either.
  if (!decision.allowed) return { bytes: reply(RCODE.refused), refused: { name, decision } };
  if (question.type !== 'A') return plain(RCODE.ok);
  let resolution: Awaited<ReturnType<NameCache['resolve']>>;
  try {
    resolution = await names.resolve(name);
  } catch {
    return plain(RCODE.serverFailure);
  }
  const { addresses, ttl } = resolution;
  const forbidden = addresses.map((address) => forbiddenAt(policy, address));
  const usable = addresses.filter((_, index) => forbidden[index] === null).slice(0, MAX_ADDRESSES);
  const [refusal] = forbidden;
  if (usable.length === 0 && refusal)
    return { bytes: reply(RCODE.refused), refused: { name, decision: refusal } };
  if (usable.length === 0) return plain(RCODE.noSuchName);
  const answer = (addresses: readonly string[]): Buffer =>
    reply(
      RCODE.ok,
      addresses.map((data) => ({ type: 'A', class: 'IN', name: question.name, ttl, data })),
    );
  // One is there in any case: a program needs no more of them.
  while (usable.length > 1 && answer(usable).length > MAX_ANSWER) usable.pop();
  names.recordAnswer(name, usable);
  return { bytes: answer(usable), refused: null };
}

/** Why no port of an address may be dialled; null where one may, to be judged when it is. */
function forbiddenAt(policy: Policy, text: string): Decision | null {
  const address = parseAddress(text);
  return address === null ? { allowed: false, rule: `${text} is no address` } : policy.forbids(address, null);
}

function readQuery(query: Buffer): { id: number; flags: number; questions: Question[] } | null {
  try {
    const packet = decode(query);
    if (packet.type !== 'query') return null;
    const flags = (packet.flags ?? 0) & RECURSION_DESIRED;
    return { id: packet.id ?? 0, flags, questions: packet.questions ?? [] };
  } catch {
    return null;
  }
}
