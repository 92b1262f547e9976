/** Converts network policies between the flat shape of the tools and the SDK's. */
import type { NetworkPolicy as SdkPolicy, NetworkPolicyRule as SdkRule } from '@vercel/sandbox';
import { normalizePattern } from '../../../shared/domains.ts';
import { mentionsSecret, type SecretStore } from '../../../shared/secrets.ts';
import type { NetworkPolicy, NetworkRule } from '../../engine.ts';

const MASK = '***';

/** Substitutes the value of a header, given its destination. */
type Fill = (value: string, domain: string) => string;

/**
 * Converts a policy for the SDK. A rule's domain counts as allowed, rules of one domain keep their order, and requests
 * that match no rule pass without headers, as in the tools. Secrets are substituted: the platform sets the headers.
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
    // A rule without headers has no effect.
    const added =
      Object.keys(rule.headers ?? {}).length === 0 ? known : [...known, toSdkRule(rule, domain, fill)];
    domains.set(domain, added);
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

function toSdkRule({ match, headers }: NetworkRule, domain: string, fill: Fill): SdkRule {
  const filled = Object.entries(headers ?? {}).map(([name, value]) => [name, fill(value, domain)]);
  const transform = [{ headers: Object.fromEntries(filled) }];
  if (match === undefined) return { transform };
  return {
    transform,
    match: {
      ...(match.methods !== undefined && match.methods.length > 0 && { method: match.methods }),
      ...(match.pathPrefix !== undefined && { path: { startsWith: match.pathPrefix } }),
    },
  };
}

/** Converts a policy for the tools, with masked header values. A sandbox without a policy may access everything. */
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
  const names = (rule.transform ?? []).flatMap(({ headers }) => Object.keys(headers ?? {}));
  const path = rule.match?.path;
  const prefix = path !== undefined && 'startsWith' in path ? path.startsWith : undefined;
  const methods = rule.match?.method;
  return {
    domain,
    ...((prefix !== undefined || methods !== undefined) && {
      match: {
        ...(methods !== undefined && { methods }),
        ...(prefix !== undefined && { pathPrefix: prefix }),
      },
    }),
    headers: Object.fromEntries(names.map((name) => [name, MASK])),
  };
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
 * The policy in force as reported: as it was requested, if the platform still has that one, or has one with lists that
 * it does not return.
 *
 * @param requested as `masked` returns it; null if it was not requested from this machine
 */
export function policyInForce(
  present: SdkPolicy | undefined,
  requested: NetworkPolicy | null,
): NetworkPolicy {
  const reported = fromSdkPolicy(present);
  if (requested === null) return reported;
  if (requested.mode === 'custom' && isUnreported(present)) return requested;
  const expected = fromSdkPolicy(sdkPolicy(requested, (value) => value));
  return JSON.stringify(canonical(reported)) === JSON.stringify(canonical(expected)) ? requested : reported;
}

/** A policy with lists whose lists are missing: the platform may omit them in responses. */
function isUnreported(policy: SdkPolicy | undefined): boolean {
  return typeof policy === 'object' && policy.allow === undefined && policy.subnets === undefined;
}

/** Equal for all forms of a policy: only the order of rules of one domain matters. */
function canonical({ mode, allow, subnets, rules }: NetworkPolicy) {
  return {
    mode,
    allow: allow?.toSorted() ?? [],
    subnets: [subnets?.allow?.toSorted() ?? [], subnets?.deny?.toSorted() ?? []],
    rules:
      rules
        ?.toSorted((a, b) => (a.domain < b.domain ? -1 : a.domain > b.domain ? 1 : 0))
        .map(canonicalRule) ?? [],
  };
}

function canonicalRule({ domain, match, headers }: NetworkRule) {
  const names = Object.keys(headers ?? {}).map((name) => name.toLowerCase());
  return {
    domain,
    methods: match?.methods?.toSorted() ?? [],
    prefix: match?.pathPrefix ?? '',
    names: names.sort(),
  };
}
