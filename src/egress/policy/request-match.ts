/** Which requests a header rule applies to. */
import { SandboxError } from '../../shared/errors.ts';
import type { NetworkRule, ValueMatch } from '../../shared/policy-schema.ts';
import { linearPattern } from '../../shared/text/linear-pattern.ts';
import { ruleError } from './rule-error.ts';

/** The properties of a request that rules match. */
export interface RequestInfo {
  /** Normalized host name. */
  readonly name: string;
  readonly method: string;
  /** The target in origin form, query included. */
  readonly path: string;
  /** The values of a header, by its lower-case name; absent: none is known. */
  readonly headerValues?: (name: string) => readonly string[];
}

/** True for the requests that a rule applies to. */
export type RequestMatch = (request: Omit<RequestInfo, 'name'>) => boolean;

type Match = NonNullable<NetworkRule['match']>;

const METHOD = /^[A-Z][A-Z0-9_-]{0,31}$/;
const HEADER_NAME = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$/;
const MAX_PATH = 2_048;
const MAX_CONDITIONS = 16;
/** Servers resolve these, but not all alike: the compared path could differ from the one that is served. */
const AMBIGUOUS = /\/\.{1,2}(\/|;|$)|\/\/|\\|;|%(2e|2f|5c|25|00)/i;

/**
 * Parses a rule's `match`: all of its conditions have to hold. @throws `invalid_argument` naming the invalid
 * value
 */
export function compileMatch(match: Match | undefined, domain: string): RequestMatch {
  const { methods, path, pathPrefix, pathRegex, headers = {}, query = {} } = match ?? {};
  const conditions: RequestMatch[] = [];
  const paths = [path, pathPrefix, pathRegex].filter((each) => each !== undefined);
  if (paths.length > 1) {
    const hint = 'Use only one of path, path_prefix and path_regex.';
    throw invalid('match', domain, 'has more than one condition on the path', hint);
  }
  if (methods !== undefined) conditions.push(methodIn(methods, domain));
  if (path !== undefined) {
    requirePath('path', path, domain);
    conditions.push(({ path: sent }) => hasPath(sent, (bare) => bare === path));
  }
  if (pathPrefix !== undefined) {
    requirePath('path_prefix', pathPrefix, domain);
    conditions.push(({ path: sent }) => matchesPrefix(pathPrefix, sent));
  }
  if (pathRegex !== undefined) {
    const matches = linearPattern(pathRegex, 'network_policy.rules: match.path_regex');
    conditions.push(({ path: sent }) => hasPath(sent, matches));
  }
  for (const [name, value] of entriesOf('headers', headers, domain)) {
    if (!HEADER_NAME.test(name))
      throw invalid(`match.headers ${show(name)}`, domain, 'is not a header name', NAMES);
    const matches = compileValue(value, `match.headers.${name}`, domain);
    conditions.push(({ headerValues }) => headerValues?.(name.toLowerCase()).some(matches) ?? false);
  }
  for (const [name, value] of entriesOf('query', query, domain)) {
    const matches = compileValue(value, `match.query.${name}`, domain);
    conditions.push(({ path: sent }) => queryOf(sent).getAll(name).some(matches));
  }
  return (request) => conditions.every((holds) => holds(request));
}

const NAMES = 'Use a name such as X-Api-Key.';

function methodIn(methods: readonly string[], domain: string): RequestMatch {
  const wanted = methods.map((method) => method.toUpperCase());
  if (wanted.length === 0 || !wanted.every((method) => METHOD.test(method))) {
    throw new SandboxError(
      'invalid_argument',
      `network_policy.rules: match.methods for ${domain} is not valid.`,
      {
        hint: 'Use methods such as ["GET", "POST"], or leave methods out to match all.',
      },
    );
  }
  return ({ method }) => wanted.includes(method);
}

function requirePath(field: string, text: string, domain: string): void {
  const fits = /^\/[\x21-\x7e]*$/.test(text) && !/[?#]/.test(text) && text.length <= MAX_PATH;
  if (fits && !AMBIGUOUS.test(text)) return;
  const hint = 'as it is sent, such as /v1/, without a query, `..`, `//` or `;`.';
  throw invalid(
    `match.${field} ${show(text)}`,
    domain,
    'matches no request',
    field === 'path' ? `Use a path ${hint}` : `Use the beginning of a path ${hint}`,
  );
}

function entriesOf(
  field: 'headers' | 'query',
  values: Readonly<Record<string, ValueMatch>>,
  domain: string,
): [string, ValueMatch][] {
  const entries = Object.entries(values);
  if (entries.length <= MAX_CONDITIONS) return entries;
  const problem = `has ${entries.length} conditions`;
  throw invalid(`match.${field}`, domain, problem, `Use at most ${MAX_CONDITIONS}.`);
}

/** Without a condition any value matches, but it must be present. */
function compileValue(value: ValueMatch, field: string, domain: string): (text: string) => boolean {
  const { exact, prefix, regex } = value;
  if (Object.values(value).filter((each) => each !== undefined).length > 1) {
    const hint = 'Use only one of exact, prefix and regex; without them, any value matches.';
    throw invalid(field, domain, 'has more than one condition', hint);
  }
  if (exact !== undefined) return (text) => text === exact;
  if (prefix !== undefined) return (text) => text.startsWith(prefix);
  return regex === undefined ? () => true : linearPattern(regex, `network_policy.rules: ${field}`);
}

/** Whether the condition holds for a path, whichever way a server may resolve it. */
function hasPath(sent: string, holds: (bare: string) => boolean): boolean {
  // Some servers end the path there, as in a URL; others treat it as part of the path.
  if (sent.includes('#')) return false;
  const bare = sent.split('?', 1)[0] ?? '';
  return !AMBIGUOUS.test(bare) && holds(bare);
}

/** True if a path begins with the prefix, whichever way a server may resolve it. */
function matchesPrefix(prefix: string, sent: string): boolean {
  if (prefix === '/') return !sent.includes('#');
  return hasPath(sent, (bare) => bare.startsWith(prefix));
}

function queryOf(sent: string): URLSearchParams {
  const begin = sent.indexOf('?');
  return new URLSearchParams(begin === -1 ? '' : sent.slice(begin + 1));
}

function show(text: string): string {
  return JSON.stringify(text.slice(0, 100));
}

function invalid(what: string, domain: string, problem: string, hint: string): SandboxError {
  return ruleError(`${what} for ${domain} ${problem}`, hint);
}
