/** Header rules: what the gateway sets on outgoing requests. Pure data and logic, without sockets. */
import { matchesPattern } from '../../shared/domains.ts';
import type { NetworkRule } from '../../shared/policy-schema.ts';
import { mentionsSecret, type SecretStore } from '../../shared/secrets.ts';
import { parseDomainPattern } from './parse-policy.ts';
import { compileMatch, type RequestInfo, type RequestMatch } from './request-match.ts';
import { checkEffects } from './rule-effects.ts';
import { ruleError } from './rule-error.ts';

/**
 * Headers that the engine itself adds, e.g. while it fetches a source. They allow nothing: a request has to
 * pass the policy first. Values are literal (`${secret:NAME}` is not substituted), and they override the
 * policy's.
 */
export interface CredentialRule {
  /** As in a policy: `example.com` or `*.example.com`. */
  readonly domain: string;
  readonly match?: NetworkRule['match'];
  readonly headers: Readonly<Record<string, string>>;
}

export interface HeaderRules {
  /** True if requests to this name may get headers, so that the gateway has to see them. */
  appliesTo(name: string): boolean;
  /** The headers to set on a request, replacing those of the same name: lower-case names and their values. */
  headersFor(request: RequestInfo): ReadonlyMap<string, string>;
}

interface Compiled {
  readonly pattern: string;
  readonly match: RequestMatch;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** RFC 9110, 5.5, as bytes of one octet each. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/;
const MAX_NAME = 256;
const MAX_VALUE = 8_192;
const MAX_HEADERS = 64;
/**
 * They frame the message, route it or belong to one connection: a rule that set them would split or redirect
 * requests.
 */
export const NOT_SETTABLE: ReadonlySet<string> = new Set([
  'connection',
  'content-length',
  'expect',
  'host',
  'http2-settings',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);
const NONE: ReadonlyMap<string, string> = new Map();

/**
 * Parses the rules of a policy, and those of the engine.
 *
 * @throws `invalid_argument` naming the invalid domain, header or match; errors of `SecretStore.fill`
 */
export function compileHeaderRules(
  rules: readonly NetworkRule[],
  secrets: SecretStore,
  credentials: readonly CredentialRule[],
): HeaderRules {
  const compiled = [
    ...rules.map((rule) => compile(rule, (value, pattern) => secrets.fill(value, pattern))),
    ...credentials.map((rule) => compile(rule, (value) => value)),
  ].filter(({ headers }) => headers.length > 0);
  const rulesFor = (name: string) => compiled.filter(({ pattern }) => matchesPattern(pattern, name));
  return {
    appliesTo: (name) => rulesFor(name).length > 0,
    headersFor(request) {
      // A server that answers TRACE sends the request back, including what was set.
      if (request.method === 'TRACE') return NONE;
      const fitting = rulesFor(request.name).filter(({ match }) => match(request));
      return fitting.length === 0 ? NONE : new Map(fitting.flatMap(({ headers }) => headers));
    },
  };
}

/** Substituted at once: the secret may be sent to every name that the pattern matches. */
function compile(
  rule: NetworkRule | CredentialRule,
  fill: (value: string, pattern: string) => string,
): Compiled {
  const pattern = parseDomainPattern(rule.domain);
  checkEffects(rule);
  const given = Object.entries(rule.headers ?? {});
  if (given.length > MAX_HEADERS)
    throw ruleError(
      `a rule for ${pattern} has ${given.length} headers`,
      `Set at most ${MAX_HEADERS} headers per rule.`,
    );
  const headers = given.map(
    ([name, value]) => [headerName(name), headerValue(name, value, pattern, fill)] as const,
  );
  if (new Set(headers.map(([name]) => name)).size < headers.length)
    throw ruleError(`a rule for ${pattern} sets a header twice`, 'Header names are case-insensitive.');
  return { pattern, match: compileMatch(rule.match, pattern), headers };
}

function headerName(name: string): string {
  const lower = name.toLowerCase();
  const shown = JSON.stringify(name.slice(0, 100));
  if (!TOKEN.test(name) || name.length > MAX_NAME)
    throw ruleError(`${shown} is not a header name`, 'Use a name such as Authorization or X-Api-Key.');
  if (NOT_SETTABLE.has(lower))
    throw ruleError(
      `header ${shown} cannot be set`,
      'It controls the framing or routing of the request; leave it to the program.',
    );
  return lower;
}

/** No error message contains the value. */
function headerValue(
  name: string,
  template: string,
  pattern: string,
  fill: (value: string, pattern: string) => string,
): string {
  const value = fill(template, pattern);
  if (VALUE.test(value) && value.length <= MAX_VALUE) return value;
  const filled = mentionsSecret(template) ? ' once its secret is filled in' : '';
  throw ruleError(
    `the value of header ${JSON.stringify(name.slice(0, 100))} cannot be sent${filled}`,
    `Use one line of at most ${MAX_VALUE} printable characters (ISO 8859-1).`,
  );
}
