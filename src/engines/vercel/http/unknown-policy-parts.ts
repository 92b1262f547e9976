/**
 * The parts of a session's network policy that the platform returns but the SDK does not parse. Without them,
 * a policy would be reported as if it did not have them.
 */
import { z } from 'zod';

const MAX_SESSIONS = 500;
const MAX_PARTS = 20;

const matcher = z.strictObject({ exact: z.string(), startsWith: z.string(), regex: z.string() }).partial();
const pairs = z.array(z.strictObject({ key: matcher, value: matcher }).partial());
const match = z
  .strictObject({ path: matcher, method: z.array(z.string()), queryString: pairs, headers: pairs })
  .partial();
const injection = z.strictObject({
  domain: z.string(),
  headers: z.unknown().optional(),
  headerNames: z.unknown().optional(),
  match: match.optional(),
});
const forward = z.strictObject({ domain: z.string(), forwardURL: z.string(), match: match.optional() });
const known = z.strictObject({
  mode: z.string(),
  allowedDomains: z.unknown().optional(),
  allowedCIDRs: z.unknown().optional(),
  deniedCIDRs: z.unknown().optional(),
  injectionRules: z.array(injection).optional(),
  forwardRules: z.array(forward).optional(),
});
const answer = z.looseObject({ session: z.looseObject({ id: z.string(), networkPolicy: z.unknown() }) });

export class UnknownPolicyParts {
  readonly #bySession = new Map<string, readonly string[]>();

  /** Reads a raw response of the API. */
  note(body: unknown): void {
    const read = answer.safeParse(body);
    if (!read.success || read.data.session.networkPolicy === undefined) return;
    const { id, networkPolicy } = read.data.session;
    const [oldest] = this.#bySession.keys();
    if (this.#bySession.size >= MAX_SESSIONS && oldest !== undefined) this.#bySession.delete(oldest);
    this.#bySession.set(id, unknownPartsOf(networkPolicy));
  }

  of(sessionId: string): readonly string[] {
    return this.#bySession.get(sessionId) ?? [];
  }
}

/** Each as its path and value. */
export function unknownPartsOf(policy: unknown): string[] {
  const { error } = known.safeParse(policy);
  return (error?.issues ?? []).slice(0, MAX_PARTS).flatMap(({ path, ...issue }) => {
    const places = issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...path, key]) : [path];
    return places.map((place) =>
      `${place.join('.')}: ${JSON.stringify(valueAt(policy, place))}`.slice(0, 400),
    );
  });
}

function valueAt(root: unknown, path: readonly PropertyKey[]): unknown {
  let value = root;
  for (const key of path)
    value = typeof value === 'object' && value !== null ? Reflect.get(value, key) : undefined;
  return value;
}
