/** The network policy as tools accept and return it: the shared schema with the tools' spelling of field names. */
import { z } from 'zod';
import { type NetworkPolicy, type NetworkRule, networkPolicySchema } from '../../src/shared/policy-schema.ts';

// How a secret is mentioned; each piece apart, since together they would be taken for a template.
const SECRET_HINT = ['values may hold $', '{secret:NAME}'].join('');

const { allow, rules } = networkPolicySchema.shape;
const rule = rules.unwrap().element;
const { pathPrefix, ...match } = rule.shape.match.unwrap().shape;

export const networkPolicy = networkPolicySchema.extend({
  allow: allow.describe('domains; *.x.com: subdomains only'),
  rules: z
    .array(
      rule.extend({
        match: z.strictObject({ ...match, path_prefix: pathPrefix }).optional(),
        headers: rule.shape.headers.describe(SECRET_HINT),
      }),
    )
    .optional(),
});

export type NetworkPolicyArgument = z.output<typeof networkPolicy>;
type RuleArgument = NonNullable<NetworkPolicyArgument['rules']>[number];

/** Converts a policy to the form used by the registry and the engines. */
export function toNetworkPolicy({ rules, ...policy }: NetworkPolicyArgument): NetworkPolicy {
  return rules === undefined ? policy : { ...policy, rules: rules.map(toRule) };
}

function toRule({ match, ...rule }: RuleArgument): NetworkRule {
  if (match === undefined) return rule;
  const { path_prefix: pathPrefix, ...sameNames } = match;
  return { ...rule, match: { ...sameNames, ...(pathPrefix !== undefined && { pathPrefix }) } };
}

/** A policy as returned by tools: header names without their values. */
export function policyAnswer({ rules, ...policy }: NetworkPolicy): NetworkPolicyArgument {
  return rules === undefined ? policy : { ...policy, rules: rules.map(ruleAnswer) };
}

function ruleAnswer({ match, headers, ...rule }: NetworkRule): RuleArgument {
  return {
    ...rule,
    ...(match !== undefined && { match: matchAnswer(match) }),
    ...(headers !== undefined && { headers: masked(headers) }),
  };
}

function matchAnswer({ pathPrefix, ...match }: NonNullable<NetworkRule['match']>): RuleArgument['match'] {
  return { ...match, ...(pathPrefix !== undefined && { path_prefix: pathPrefix }) };
}

function masked(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.keys(headers).map((name) => [name, '***']));
}
