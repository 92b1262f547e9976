/** Network policies on the wire: requests and responses use different shapes. */
import { z } from 'zod';
import type { NetworkPolicy } from '../../../../src/engines/engine.ts';

const headers = z.record(z.string(), z.string());
const match = z.object({
  path: z.object({ exact: z.string(), startsWith: z.string(), regex: z.string() }).partial().optional(),
  method: z.array(z.string()).optional(),
});
const rule = z.object({
  match: match.optional(),
  transform: z.array(z.object({ headers: headers.optional() })).optional(),
});
const subnets = z.object({ allow: z.array(z.string()).optional(), deny: z.array(z.string()).optional() });

export const policyRequest = z.union([
  z.strictObject({ mode: z.enum(['allow-all', 'deny-all']) }),
  z.strictObject({
    allow: z.union([z.array(z.string()), z.record(z.string(), z.array(rule))]).optional(),
    subnets: subnets.optional(),
  }),
]);

export type PolicyRequest = z.infer<typeof policyRequest>;

/** A policy as the service returns it: without header values. */
export function policyAnswer(policy: PolicyRequest): object {
  if ('mode' in policy) return policy;
  const { allow } = policy;
  const rules = Array.isArray(allow) || allow === undefined ? [] : Object.entries(allow);
  const injectionRules = rules.flatMap(([domain, each]) =>
    each.map(({ match: matching, transform }) => ({
      domain,
      headerNames: (transform ?? []).flatMap(({ headers: set }) => Object.keys(set ?? {})),
      ...(matching && { match: matching }),
    })),
  );
  return {
    mode: 'custom',
    ...(allow !== undefined && { allowedDomains: domainsOf(policy) }),
    ...(policy.subnets?.allow && { allowedCIDRs: policy.subnets.allow }),
    ...(policy.subnets?.deny && { deniedCIDRs: policy.subnets.deny }),
    ...(injectionRules.length > 0 && { injectionRules }),
  };
}

/** For the engine below, which sets the headers. */
export function policyBelow(policy: PolicyRequest): NetworkPolicy {
  if ('mode' in policy) return policy;
  const domains = domainsOf(policy);
  const rules = rulesOf(policy);
  if (domains.includes('*') && policy.subnets === undefined && rules.length === 0)
    return { mode: 'allow-all' };
  return { mode: 'custom', allow: domains, ...(policy.subnets && { subnets: policy.subnets }), rules };
}

function rulesOf({ allow }: Exclude<PolicyRequest, { mode: unknown }>): NonNullable<NetworkPolicy['rules']> {
  if (allow === undefined || Array.isArray(allow)) return [];
  return Object.entries(allow).flatMap(([domain, rules]) =>
    rules.map(({ match: matching, transform = [] }) => ({
      domain,
      ...(matching && { match: { methods: matching.method, pathPrefix: matching.path?.startsWith } }),
      headers: Object.assign({}, ...transform.map(({ headers: set }) => set)),
    })),
  );
}

function domainsOf({ allow }: Exclude<PolicyRequest, { mode: unknown }>): string[] {
  return Array.isArray(allow) ? allow : Object.keys(allow ?? {});
}
