/** Network policies between the one flat shape of the tools and the SDK's. */
import type { NetworkPolicy as SdkPolicy, NetworkPolicyRule as SdkRule } from '@vercel/sandbox';
import { normalizePattern } from '../../../shared/domains.ts';
import { mentionsSecret, type SecretStore } from '../../../shared/secrets.ts';
import type { NetworkPolicy, NetworkRule } from '../../engine.ts';

const MASK = '***';

/** What to send in place of a header's value, given where it is sent. */
type Fill = (value: string, domain: string) => string;

/**
 * As the SDK takes it. A rule's domain counts as allowed; rules of one domain keep their order, and requests that no
 * rule fits pass without headers, on the platform as in the tools. Secrets are filled in: the platform sets the headers.
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
    // A rule without headers would change nothing of a request.
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

/** As the tools tell it, header values masked. A sandbox without a policy may reach everything. */
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

/** The same policy as it may be kept: header values are secrets, unless they only mention one. */
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
 * The policy in force as it is told: in the words it was asked for with, as long as the platform has that one, or has
 * one of lists and does not tell them.
 *
 * @param requested as `masked` keeps it; null where this machine did not ask
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

/** A policy of lists without the lists: its answers may leave out what they hold. */
function isUnreported(policy: SdkPolicy | undefined): boolean {
  return typeof policy === 'object' && policy.allow === undefined && policy.subnets === undefined;
}

/** The same for all spellings of a policy: only the order of rules of one domain means something. */
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
