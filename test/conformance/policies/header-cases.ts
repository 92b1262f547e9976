/**
 * The semantics of header rules, as a table shared by the tests of all engines. Values are literal, without
 * secrets.
 */
import type { NetworkPolicy } from '../../../src/engines/engine.ts';

export interface HeaderCase {
  readonly title: string;
  readonly policy: NetworkPolicy;
  readonly request: { readonly name: string; readonly method: string; readonly path: string };
  /** Whether the request is allowed. */
  readonly allowed: boolean;
  /** The headers set on it, with lower-case names; they replace headers of the program with the same name. */
  readonly set: Readonly<Record<string, string>>;
}

type Rule = NonNullable<NetworkPolicy['rules']>[number];

const get = (name: string, path = '/', method = 'GET') => ({ name, method, path });
const KEY = { 'X-Key': 'k' };
const rules = (...list: Rule[]): NetworkPolicy => ({ mode: 'custom', rules: list });
const POSTS = rules({
  domain: 'example.com',
  match: { methods: ['POST', 'put'], pathPrefix: '/v1/' },
  headers: KEY,
});

function header(
  title: string,
  policy: NetworkPolicy,
  request: HeaderCase['request'],
  set: Record<string, string>,
): HeaderCase {
  return { title, policy, request, allowed: true, set };
}

export const HEADER_CASES: readonly HeaderCase[] = [
  header('a rule sets its headers', rules({ domain: 'example.com', headers: KEY }), get('example.com'), {
    'x-key': 'k',
  }),
  header(
    'a rule without headers allows its domain',
    rules({ domain: 'example.com' }),
    get('example.com'),
    {},
  ),
  header(
    'a rule matches its domain in upper case',
    rules({ domain: 'Example.COM.', headers: KEY }),
    get('example.com'),
    { 'x-key': 'k' },
  ),
  header('a request that matches method and path gets headers', POSTS, get('example.com', '/v1/a', 'POST'), {
    'x-key': 'k',
  }),
  header('a method in a rule is case-insensitive', POSTS, get('example.com', '/v1/a', 'PUT'), {
    'x-key': 'k',
  }),
  header('another method passes without headers', POSTS, get('example.com', '/v1/a'), {}),
  header('another path passes without headers', POSTS, get('example.com', '/v2/a', 'POST'), {}),
  header('the whole prefix must match', POSTS, get('example.com', '/v1', 'POST'), {}),
  header('a query is not part of the path', POSTS, get('example.com', '/?a=/v1/', 'POST'), {}),
  header('a path with .. passes without headers', POSTS, get('example.com', '/v1/../v2', 'POST'), {}),
  header(
    'a path with an encoded .. passes without headers',
    POSTS,
    get('example.com', '/v1/%2E%2E/v2', 'POST'),
    {},
  ),
  header(
    'a wildcard matches subdomains',
    rules({ domain: '*.example.com', headers: KEY }),
    get('a.b.example.com'),
    { 'x-key': 'k' },
  ),
  header(
    'of two matching rules, the later one wins',
    rules(
      { domain: 'example.com', headers: KEY },
      { domain: '*', headers: { 'x-KEY': 'later', 'X-Other': 'o' } },
    ),
    get('example.com'),
    { 'x-key': 'later', 'x-other': 'o' },
  ),
  header(
    'TRACE gets no headers',
    rules({ domain: 'example.com', headers: KEY }),
    get('example.com', '/', 'TRACE'),
    {},
  ),
  {
    title: 'a wildcard does not allow the apex',
    policy: rules({ domain: '*.example.com', headers: KEY }),
    request: get('example.com'),
    allowed: false,
    set: {},
  },
  {
    title: 'another domain is still refused',
    policy: rules({ domain: 'example.com', headers: KEY }),
    request: get('example.net'),
    allowed: false,
    set: {},
  },
];
