/** Network policies on the wire: requests and responses use different shapes. */
import { z } from 'zod';
import type { NetworkPolicy } from '../../../../src/engines/engine.ts';

const headers = z.record(z.string(), z.string());
const matcher = z.strictObject({ exact: z.string(), startsWith: z.string(), regex: z.string() }).partial();
const pairs = z.array(z.strictObject({ key: matcher.optional(), value: matcher.optional() })).optional();
const match = z.strictObject({
  path: matcher.optional(),
  method: z.array(z.string()).optional(),
  queryString: pairs,
  headers: pairs,
});
const response = z.strictObject({
  statusCode: z.number().int().min(200).max(599),
  headers: headers.optional(),
  body: z.string().optional(),
  contentType: z.string().optional(),
});
const rule = z
  .strictObject({
    match: match.optional(),
    transform: z.array(z.object({ headers: headers.optional() })).optional(),
    forwardURL: z.url({ protocol: /^https$/ }).optional(),
    response: response.optional(),
  })
  .refine(
    (effects) =>
      [effects.transform, effects.forwardURL, effects.response].filter((each) => each !== undefined)
        .length === 1,
    'one of transform, forwardURL, or response must be provided',
  );
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
    each.flatMap(({ match: matching, transform }) => {
      if (transform === undefined) return [];
      const headerNames = transform.flatMap(({ headers: set }) => Object.keys(set ?? {}));
      return [{ domain, headerNames, ...(matching && { match: matching }) }];
    }),
  );
  // The SDK reads no direct responses.
  const forwardRules = rules.flatMap(([domain, each]) =>
    each.flatMap(({ match: matching, forwardURL }) =>
      forwardURL === undefined ? [] : [{ domain, forwardURL, ...(matching && { match: matching }) }],
    ),
  );
  return {
    mode: 'custom',
    ...(allow !== undefined && { allowedDomains: domainsOf(policy) }),
    ...(policy.subnets?.allow && { allowedCIDRs: policy.subnets.allow }),
    ...(policy.subnets?.deny && { deniedCIDRs: policy.subnets.deny }),
    ...(injectionRules.length > 0 && { injectionRules }),
    ...(forwardRules.length > 0 && { forwardRules }),
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
    rules.flatMap(({ match: matching, transform }) => {
      if (transform === undefined) return [];
      const set = Object.assign({}, ...transform.map(({ headers: each }) => each));
      return [{ domain, ...(matching && { match: matchBelow(matching) }), headers: set }];
    }),
  );
}

function domainsOf({ allow }: Exclude<PolicyRequest, { mode: unknown }>): string[] {
  return Array.isArray(allow) ? allow : Object.keys(allow ?? {});
}

function matchBelow({ path, method, headers: sent, queryString }: z.infer<typeof match>) {
  return {
    methods: method,
    path: path?.exact,
    pathPrefix: path?.startsWith,
    pathRegex: path?.regex,
    headers: valuesBelow(sent),
    query: valuesBelow(queryString),
  };
}

/** The engine below knows conditions on named values alone. */
function valuesBelow(given: z.infer<typeof pairs>) {
  if (given === undefined) return undefined;
  const named = given.map(({ key, value }) => {
    const { exact, startsWith: prefix, regex } = value ?? {};
    return [key?.exact ?? '', { exact, prefix, regex }] as const;
  });
  return Object.fromEntries(named);
}
