/** Network policies between the one flat shape of the tools and the SDK's. */
import type { NetworkPolicy as SdkPolicy, NetworkPolicyRule as SdkRule } from '@vercel/sandbox';
import type { NetworkPolicy } from '../engine.ts';

const MASK = '***';

type Rule = NonNullable<NetworkPolicy['rules']>[number];

/**
 * As the SDK takes it. A rule's domain counts as allowed; rules of one domain keep their order, and requests that no
 * rule fits pass without headers, on the platform as in the tools.
 */
export function toSdkPolicy(policy: NetworkPolicy): SdkPolicy {
  if (policy.mode !== 'custom') return policy.mode;
  const { allow = [], rules = [], subnets } = policy;
  const domains = new Map<string, SdkRule[]>(allow.map((domain) => [domain, []]));
  for (const rule of rules) {
    const known = domains.get(rule.domain) ?? [];
    // A rule without headers would change nothing of a request.
    const added = Object.keys(rule.headers ?? {}).length === 0 ? known : [...known, toSdkRule(rule)];
    domains.set(rule.domain, added);
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

function toSdkRule({ match, headers }: Rule): SdkRule {
  const transform = [{ headers: headers ?? {} }];
  if (match === undefined) return { transform };
  return {
    transform,
    match: {
      ...(match.methods !== undefined && match.methods.length > 0 && { method: match.methods }),
      ...(match.path_prefix !== undefined && { path: { startsWith: match.path_prefix } }),
    },
  };
}

/** As the tools tell it, header values masked. A sandbox without a policy may reach everything. */
export function fromSdkPolicy(policy: SdkPolicy | undefined): NetworkPolicy {
  if (policy === undefined) return { mode: 'allow-all' };
  if (typeof policy === 'string') return { mode: policy };
  const { allow, subnets } = policy;
  const domains = allow === undefined ? [] : Array.isArray(allow) ? allow : Object.keys(allow);
  const rules: Rule[] = [];
  if (allow !== undefined && !Array.isArray(allow)) {
    for (const [domain, list] of Object.entries(allow))
      rules.push(...list.map((rule) => fromSdkRule(domain, rule)));
  }
  return {
    mode: 'custom',
    allow: domains,
    ...(subnets !== undefined && { subnets: { allow: subnets.allow, deny: subnets.deny } }),
    ...(rules.length > 0 && { rules }),
  };
}

function fromSdkRule(domain: string, rule: SdkRule): Rule {
  const names = (rule.transform ?? []).flatMap(({ headers }) => Object.keys(headers ?? {}));
  const path = rule.match?.path;
  const prefix = path !== undefined && 'startsWith' in path ? path.startsWith : undefined;
  const methods = rule.match?.method;
  return {
    domain,
    ...((prefix !== undefined || methods !== undefined) && { match: { methods, path_prefix: prefix } }),
    headers: Object.fromEntries(names.map((name) => [name, MASK])),
  };
}

/** The same policy as it may be told: header values are secrets. */
export function masked(policy: NetworkPolicy): NetworkPolicy {
  if (policy.rules === undefined) return policy;
  const rules = policy.rules.map((rule) => ({
    ...rule,
    ...(rule.headers !== undefined && {
      headers: Object.fromEntries(Object.keys(rule.headers).map((name) => [name, MASK])),
    }),
  }));
  return { ...policy, rules };
}
