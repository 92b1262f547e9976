/**
 * The network policy as tools accept and return it: the shared schema with the tools' spelling of field
 * names.
 */
import { z } from 'zod';
import { type NetworkPolicy, type NetworkRule, networkPolicySchema } from '../../src/shared/policy-schema.ts';

// A reference to a secret, in pieces: the whole would look like a template.
const SECRET_HINT = ['values may hold $', '{secret:NAME}'].join('');

const { allow, rules, mode, subnets } = networkPolicySchema.shape;
const rule = rules.unwrap().element;
const { methods, path, pathPrefix, pathRegex, headers } = rule.shape.match.unwrap().shape;
const response = rule.shape.response.unwrap().shape;

/**
 * Accepted everywhere, but listed only in `sandbox_update_network_policy`, so that the tool list has them
 * once.
 */
const HIDDEN = { hidden: true };

const { exact, prefix, regex: pattern } = headers.unwrap().valueType.shape;
/** Listed only by its description. */
const valueMatch = z.strictObject({
  exact: exact.meta(HIDDEN),
  prefix: prefix.meta(HIDDEN),
  regex: pattern.meta(HIDDEN),
});

/** @param brief omits rarely needed fields from the listed schema */
function policySchema(brief: boolean) {
  const rare = <Schema extends z.ZodType>(schema: Schema) => (brief ? schema.meta(HIDDEN) : schema);
  const values = z.record(z.string(), valueMatch).optional();
  return z.strictObject({
    mode,
    allow: allow.describe('domains; *.x.com: subdomains only'),
    subnets,
    rules: z
      .array(
        z.strictObject({
          domain: rule.shape.domain,
          match: z
            .strictObject({
              methods,
              path: rare(path),
              path_prefix: pathPrefix,
              path_regex: rare(pathRegex),
              headers: rare(values.describe('name: {exact | prefix | regex: value}')),
              query: rare(values),
            })
            .optional(),
          headers: brief ? rule.shape.headers : rule.shape.headers.describe(SECRET_HINT),
          forward_url: rare(rule.shape.forwardUrl),
          response: rare(
            z
              .strictObject({
                status: response.status,
                headers: response.headers.meta(HIDDEN),
                body: response.body.meta(HIDDEN),
                content_type: response.contentType.meta(HIDDEN),
              })
              .optional()
              .describe('also headers, body, content_type'),
          ),
        }),
      )
      .optional(),
  });
}

export const networkPolicy = policySchema(false);
/** The same, listed briefly. */
export const briefNetworkPolicy = policySchema(true);

export type NetworkPolicyArgument = z.output<typeof networkPolicy>;
type RuleArgument = NonNullable<NetworkPolicyArgument['rules']>[number];

/** Converts a policy to the form used by the registry and the engines. */
export function toNetworkPolicy({ rules: given, ...policy }: NetworkPolicyArgument): NetworkPolicy {
  return given === undefined ? policy : { ...policy, rules: given.map(toRule) };
}

function toRule({ match, forward_url: forwardUrl, response: answer, ...same }: RuleArgument): NetworkRule {
  return {
    ...same,
    ...(match !== undefined && { match: toMatch(match) }),
    ...(forwardUrl !== undefined && { forwardUrl }),
    ...(answer !== undefined && { response: toResponse(answer) }),
  };
}

function toMatch({
  path_prefix: prefix,
  path_regex: regex,
  ...same
}: NonNullable<RuleArgument['match']>): NonNullable<NetworkRule['match']> {
  return {
    ...same,
    ...(prefix !== undefined && { pathPrefix: prefix }),
    ...(regex !== undefined && { pathRegex: regex }),
  };
}

function toResponse({ content_type: contentType, ...same }: NonNullable<RuleArgument['response']>) {
  return { ...same, ...(contentType !== undefined && { contentType }) };
}

/** A policy as returned by tools: header names without their values, and `other` for what has no field. */
export function policyAnswer({ rules: listed, ...policy }: NetworkPolicy) {
  return listed === undefined ? policy : { ...policy, rules: listed.map(ruleAnswer) };
}

function ruleAnswer({ match, headers: set, forwardUrl, response: answer, ...same }: NetworkRule) {
  return {
    ...same,
    ...(match !== undefined && { match: matchAnswer(match) }),
    ...(set !== undefined && { headers: masked(set) }),
    ...(forwardUrl !== undefined && { forward_url: forwardUrl }),
    ...(answer !== undefined && { response: responseAnswer(answer) }),
  };
}

function matchAnswer({ pathPrefix: prefix, pathRegex: regex, ...same }: NonNullable<NetworkRule['match']>) {
  return {
    ...same,
    ...(prefix !== undefined && { path_prefix: prefix }),
    ...(regex !== undefined && { path_regex: regex }),
  };
}

function responseAnswer({ contentType, ...same }: NonNullable<NetworkRule['response']>) {
  return { ...same, ...(contentType !== undefined && { content_type: contentType }) };
}

function masked(values: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.keys(values).map((name) => [name, '***']));
}
