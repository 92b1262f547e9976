/** Converts network policies between the flat shape of the tools and the SDK's. */
import type { NetworkPolicy as SdkPolicy, NetworkPolicyRule as SdkRule } from '@vercel/sandbox';
import { normalizePattern } from '../../../shared/domains.ts';
import { mentionsSecret, type SecretStore } from '../../../shared/secrets.ts';
import type { NetworkPolicy, NetworkRule } from '../../engine.ts';
import { defined, fromSdkMatch, toSdkMatch } from './request-match.ts';

const MASK = '***';

/** Substitutes the value of a header, given its destination. */
type Fill = (value: string, domain: string) => string;

/**
 * Converts a policy for the SDK. A rule's domain counts as allowed, rules of one domain keep their order, and
 * requests that match no rule pass without headers, as in the tools. Secrets are substituted: the platform
 * sets the headers.
 *
 * @throws what `SecretStore.fill` throws
 */
export function toSdkPolicy(policy: NetworkPolicy, secrets: SecretStore): SdkPolicy {
  return sdkPolicy(policy, (value, domain) => secrets.fill(value, domain));
}

function sdkPolicy(policy: NetworkPolicy, fill: Fill): SdkPolicy {
  if (policy.mode !== 'custom') return policy.mode;
  const { allow = [], rules = [], subnets } = policy;
  const domains = new Map<string, SdkRule[]>(allow.map((domain) => [spelled(domain), []]));
  for (const rule of rules) {
    const domain = spelled(rule.domain);
    const known = domains.get(domain) ?? [];
    const added = toSdkRule(rule, domain, fill);
    domains.set(domain, added === null ? known : [...known, added]);
  }
  return {
    allow: Object.fromEntries(domains),
    ...(subnets !== undefined && {
      subnets: {
        ...(subnets.allow !== undefined && { allow: subnets.allow }),
        ...(subnets.deny !== undefined && { deny: subnets.deny }),
      },
    }),
  };
}

function spelled(domain: string): string {
  return normalizePattern(domain) ?? domain;
}

/** Null for a rule without an effect, which would change nothing of a request. */
function toSdkRule(rule: NetworkRule, domain: string, fill: Fill): SdkRule | null {
  const { headers = {}, forwardUrl, response } = rule;
  const match = rule.match === undefined ? {} : { match: toSdkMatch(rule.match) };
  if (forwardUrl !== undefined) return { ...match, forwardURL: forwardUrl };
  if (response !== undefined) {
    const { status, ...others } = response;
    return { ...match, response: { statusCode: status, ...defined(others) } };
  }
  const filled = Object.entries(headers).map(([name, value]) => [name, fill(value, domain)]);
  if (filled.length === 0) return null;
  return { ...match, transform: [{ headers: Object.fromEntries(filled) }] };
}

/**
 * Converts a policy for the tools, with masked header values. A sandbox without a policy may access
 * everything.
 */
export function fromSdkPolicy(policy: SdkPolicy | undefined): NetworkPolicy {
  if (policy === undefined) return { mode: 'allow-all' };
  if (typeof policy === 'string') return { mode: policy };
  const { allow, subnets } = policy;
  const domains = allow === undefined ? [] : Array.isArray(allow) ? allow : Object.keys(allow);
  const rules: NetworkRule[] = [];
  if (allow !== undefined && !Array.isArray(allow)) {
    for (const [domain, list] of Object.entries(allow))
      rules.push(...list.map((rule) => fromSdkRule(domain, rule)));
  }
  return {
    mode: 'custom',
    allow: domains,
    ...(subnets !== undefined && {
      subnets: {
        ...(subnets.allow !== undefined && { allow: subnets.allow }),
        ...(subnets.deny !== undefined && { deny: subnets.deny }),
      },
    }),
    ...(rules.length > 0 && { rules }),
  };
}

function fromSdkRule(domain: string, rule: SdkRule): NetworkRule {
  const match = rule.match === undefined ? {} : { match: fromSdkMatch(rule.match) };
  if (rule.forwardURL !== undefined) return { domain, ...match, forwardUrl: rule.forwardURL };
  if (rule.response !== undefined) {
    const { statusCode, ...others } = rule.response;
    return { domain, ...match, response: { status: statusCode, ...others } };
  }
  const names = (rule.transform ?? []).flatMap(({ headers }) => Object.keys(headers ?? {}));
  return { domain, ...match, headers: Object.fromEntries(names.map((name) => [name, MASK])) };
}

/** The policy as it may be stored: header values are masked unless they only reference a secret. */
export function masked(policy: NetworkPolicy): NetworkPolicy {
  if (policy.rules === undefined) return policy;
  const rules = policy.rules.map((rule) => ({
    ...rule,
    ...(rule.headers !== undefined && {
      headers: Object.fromEntries(
        Object.entries(rule.headers).map(([name, value]) => [name, mentionsSecret(value) ? value : MASK]),
      ),
    }),
  }));
  return { ...policy, rules };
}

/**
 * The policy in force as reported: as it was requested, if the platform still has that one, or has one with
 * lists that it does not return.
 *
 * @param requested as kept by `masked`; null if this machine requested none
 * @param unknownParts what the platform reports and the SDK does not parse
 */
export function policyInForce(
  present: SdkPolicy | undefined,
  requested: NetworkPolicy | null,
  unknownParts: readonly string[] = [],
): NetworkPolicy {
  const other = unknownParts.length === 0 ? {} : { other: [...unknownParts] };
  const reported = { ...fromSdkPolicy(present), ...other };
  if (requested === null) return reported;
  if (requested.mode === 'custom' && isUnreported(present) && unknownParts.length === 0) return requested;
  const expected = fromSdkPolicy(sdkPolicy(requested, (value) => value));
  const answers = expected.rules?.some(({ response }) => response !== undefined) ?? false;
  // The SDK reads no direct responses: if some were requested, they may be the unknown parts.
  if (unknownParts.length > 0 && !answers) return reported;
  const same = JSON.stringify(canonical(reported)) === JSON.stringify(canonical(expected));
  return same ? requested : reported;
}

/** A policy with lists whose lists are missing: the platform may omit them in responses. */
function isUnreported(policy: SdkPolicy | undefined): boolean {
  return typeof policy === 'object' && policy.allow === undefined && policy.subnets === undefined;
}

/** Equal for all forms of a policy: only the order of rules of one domain matters. */
function canonical({ mode, allow, subnets, rules }: NetworkPolicy) {
  // Each kind by itself, and no direct responses: that is how the platform reports them.
  const listed = rules?.filter(({ response }) => response === undefined) ?? [];
  const place = ({ domain, forwardUrl }: NetworkRule) => `${forwardUrl === undefined ? 0 : 1} ${domain}`;
  return {
    mode,
    allow: allow?.toSorted() ?? [],
    subnets: [subnets?.allow?.toSorted() ?? [], subnets?.deny?.toSorted() ?? []],
    rules: listed
      .toSorted((a, b) => (place(a) < place(b) ? -1 : place(a) > place(b) ? 1 : 0))
      .map(canonicalRule),
  };
}

function canonicalRule({ domain, match = {}, headers, forwardUrl }: NetworkRule) {
  const names = Object.keys(headers ?? {}).map((name) => name.toLowerCase());
  const { methods = [], path, pathPrefix, pathRegex, headers: sent = {}, query = {}, other = [] } = match;
  const values = (of: NonNullable<NetworkRule['match']>['query'] = {}) =>
    Object.entries(of)
      .map(([name, { exact, prefix, regex }]) => [name, exact, prefix, regex])
      .toSorted(([a = ''], [b = '']) => (a < b ? -1 : 1));
  return {
    domain,
    methods: methods.toSorted(),
    path: [path, pathPrefix, pathRegex],
    values: [values(sent), values(query)],
    other,
    names: names.sort(),
    forwardUrl,
  };
}
