/** Conditions of a policy's rules between the shape of the tools and the SDK's. */
import type {
  NetworkPolicyMatcher as SdkMatcher,
  NetworkPolicyKeyValueMatcher as SdkPair,
  NetworkPolicyRule as SdkRule,
} from '@vercel/sandbox';
import type { NetworkRule } from '../../engine.ts';

type Match = NonNullable<NetworkRule['match']>;
type Values = NonNullable<Match['headers']>;
type SdkMatch = NonNullable<SdkRule['match']>;

export function toSdkMatch({ methods, path, pathPrefix, pathRegex, headers, query }: Match): SdkMatch {
  const [pathMatcher] = [
    ...(path === undefined ? [] : [{ exact: path }]),
    ...(pathPrefix === undefined ? [] : [{ startsWith: pathPrefix }]),
    ...(pathRegex === undefined ? [] : [{ regex: pathRegex }]),
  ];
  return {
    ...(methods !== undefined && methods.length > 0 && { method: methods }),
    ...(pathMatcher !== undefined && { path: pathMatcher }),
    ...(headers !== undefined && { headers: pairsOf(headers) }),
    ...(query !== undefined && { queryString: pairsOf(query) }),
  };
}

function pairsOf(values: Values): SdkPair[] {
  return Object.entries(values).map(([name, { exact, prefix, regex }]) => {
    const key = { exact: name };
    if (exact !== undefined) return { key, value: { exact } };
    if (prefix !== undefined) return { key, value: { startsWith: prefix } };
    return regex === undefined ? { key } : { key, value: { regex } };
  });
}

/**
 * Conditions without a field here are reported in the SDK's own form, so that the rule looks neither weaker
 * nor stronger than it is.
 */
export function fromSdkMatch({ method, path, headers, queryString }: SdkMatch): Match {
  const other: string[] = [];
  const match: Match = {};
  if (method !== undefined) match.methods = method;
  if (path !== undefined) {
    const { exact, startsWith, regex } = partsOf(path);
    if (only(path) === null) other.push(`path ${JSON.stringify(path)}`);
    else Object.assign(match, defined({ path: exact, pathPrefix: startsWith, pathRegex: regex }));
  }
  if (headers !== undefined) match.headers = valuesOf('headers', headers, other);
  if (queryString !== undefined) match.query = valuesOf('query', queryString, other);
  return other.length === 0 ? match : { ...match, other };
}

function valuesOf(field: string, pairs: readonly SdkPair[], other: string[]): Values {
  const values: Values = {};
  for (const { key, value } of pairs) {
    const name = key === undefined ? undefined : partsOf(key).exact;
    const isNamed = name !== undefined && only(key ?? {}) !== null && !(name in values);
    if (name === undefined || !isNamed || (value !== undefined && only(value) === null)) {
      other.push(`${field} ${JSON.stringify({ key, value })}`);
      continue;
    }
    const { exact, startsWith, regex } = partsOf(value ?? {});
    values[name] = defined({ exact, prefix: startsWith, regex });
  }
  return values;
}

/** The SDK's type has one of the three; its answers may hold any number. */
function partsOf(matcher: SdkMatcher): { exact?: string; startsWith?: string; regex?: string } {
  return matcher;
}

/** The one condition of a matcher; null for none or several. */
function only(matcher: SdkMatcher): string | null {
  const [first, ...more] = Object.values(partsOf(matcher)).filter((value) => value !== undefined);
  return first === undefined || more.length > 0 ? null : first;
}

/** Without the fields that are undefined. */
export function defined<T extends object>(fields: T): { [Key in keyof T]?: Exclude<T[Key], undefined> } {
  const present: { [Key in keyof T]?: Exclude<T[Key], undefined> } = {};
  for (const [key, value] of Object.entries(fields))
    if (value !== undefined) Object.assign(present, { [key]: value });
  return present;
}
