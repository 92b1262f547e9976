/** The network policy of a sandbox: its only type, the schema it is derived from, and its form in records. */
import { z } from 'zod';

const strings = z.array(z.string()).optional();
const text = z.string().optional();

/** One of the three; none means any value. `regex` is an RE2 pattern that has to match somewhere. */
const valueMatch = z.strictObject({ exact: text, prefix: text, regex: text });
const valueMatches = z.record(z.string(), valueMatch).optional();
/** What was set elsewhere and has no field here, in the platform's own form. Only in reported policies. */
const other = strings;

export const networkPolicySchema = z.strictObject({
  mode: z.enum(['allow-all', 'deny-all', 'custom']),
  /** Domains: `example.com`, or `*.example.com` for its subdomains. */
  allow: strings,
  /** IP ranges in CIDR notation. */
  subnets: z.strictObject({ allow: strings, deny: strings }).optional(),
  rules: z
    .array(
      z.strictObject({
        /** Allowed as if listed in `allow`. */
        domain: z.string(),
        /** Conditions on a request, all of which have to hold. */
        match: z
          .strictObject({
            methods: strings,
            path: text,
            pathPrefix: text,
            /** An RE2 pattern that has to match somewhere in the path. */
            pathRegex: text,
            headers: valueMatches,
            query: valueMatches,
            other,
          })
          .optional(),
        /** Set on requests that match; values may hold `${secret:NAME}`. */
        headers: z.record(z.string(), z.string()).optional(),
        /** Where to send them instead. */
        forwardUrl: text,
        /** What to answer them instead of sending them. */
        response: z
          .strictObject({
            status: z.int(),
            headers: z.record(z.string(), z.string()).optional(),
            body: text,
            contentType: text,
          })
          .optional(),
      }),
    )
    .optional(),
  other,
});

export type NetworkPolicy = z.output<typeof networkPolicySchema>;
export type ValueMatch = z.output<typeof valueMatch>;
export type NetworkRule = NonNullable<NetworkPolicy['rules']>[number];

const recordWithOldNames = z.looseObject({
  rules: z.array(z.looseObject({ match: z.looseObject({ path_prefix: z.string().optional() }).optional() })),
});

/** Records of version 0.1.0 say `path_prefix`. */
function withCurrentNames(value: unknown): unknown {
  const old = recordWithOldNames.safeParse(value);
  if (!old.success) return value;
  const rules = old.data.rules.map((rule) => {
    if (rule.match?.path_prefix === undefined) return rule;
    const { path_prefix: pathPrefix, ...match } = rule.match;
    return { ...rule, match: { ...match, pathPrefix } };
  });
  return { ...old.data, rules };
}

/**
 * A network policy in a record on disk. Which header values are masked is up to the code that writes the
 * record.
 */
export const networkPolicyRecord = z.preprocess(withCurrentNames, networkPolicySchema);
