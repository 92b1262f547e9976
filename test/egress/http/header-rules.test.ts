import { describe, expect, it } from 'vitest';
import type { CredentialRule } from '../../../src/egress/policy/header-rules.ts';
import { compilePolicy, type Policy } from '../../../src/egress/policy/policy.ts';
import { SandboxError } from '../../../src/shared/errors.ts';
import type { NetworkRule } from '../../../src/shared/policy-schema.ts';
import { SecretStore } from '../../../src/shared/secrets.ts';
import { HEADER_CASES } from '../../conformance/policies/header-cases.ts';

const SECRETS = new SecretStore([
  { name: 'KEY', value: 'k3y-value', domains: ['api.test', '*.deep.test'], env: false },
  { name: 'LINES', value: 'one\r\ntwo: three', domains: ['*'], env: false },
]);
const KEY = `\${secret:KEY}`;
const HOST_NETWORK = { opened: [], ownAddresses: () => [] };

function compile(rules: NetworkRule[], credentials: CredentialRule[] = []): Policy {
  return compilePolicy({ mode: 'custom', rules }, HOST_NETWORK, { secrets: SECRETS, credentials });
}

function set(policy: Policy, name: string, path = '/', method = 'GET'): Record<string, string> {
  return Object.fromEntries(policy.headers.headersFor({ name, method, path }));
}

describe('header rules', () => {
  it.each(HEADER_CASES)('$title', ({ policy, request, allowed, set: expected }) => {
    const compiled = compilePolicy(policy, HOST_NETWORK);
    expect(compiled.evaluateName(request.name).allowed).toBe(allowed);
    expect(Object.fromEntries(compiled.headers.headersFor(request))).toEqual(expected);
  });

  it('set headers on matching requests, and allow their whole domain', () => {
    const policy = compile([
      { domain: 'api.test', headers: { 'X-All': '1' } },
      { domain: 'api.test', match: { methods: ['post'], pathPrefix: '/v1/' }, headers: { 'X-Some': '2' } },
      { domain: '*.api.test', headers: { 'X-Below': '3' } },
      { domain: 'plain.test' },
    ]);
    expect(set(policy, 'api.test')).toEqual({ 'x-all': '1' });
    expect(set(policy, 'api.test', '/v1/a?b=/../', 'POST')).toEqual({ 'x-all': '1', 'x-some': '2' });
    expect(set(policy, 'api.test', '/v1', 'POST')).toEqual({ 'x-all': '1' });
    expect(set(policy, 'a.b.api.test')).toEqual({ 'x-below': '3' });
    expect(set(policy, 'plain.test')).toEqual({});
    for (const name of ['api.test', 'a.api.test', 'plain.test'])
      expect(policy.evaluateName(name).allowed).toBe(true);
    expect(['api.test', 'a.api.test', 'plain.test', 'x.test'].map(policy.headers.appliesTo)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it.each<[string, NonNullable<NetworkRule['match']>, string, boolean]>([
    ['an exact path', { path: '/v1' }, '/v1?q=1', true],
    ['an exact path', { path: '/v1' }, '/v1/', false],
    ['an exact path that a server may resolve otherwise', { path: '/v1' }, '/v1;x', false],
    ['a pattern', { pathRegex: '^/v[12]/' }, '/v2/x', true],
    ['a pattern', { pathRegex: '^/v[12]/' }, '/v3/x?/v1/', false],
    ['a pattern that a path with .. could bypass', { pathRegex: '^/v1/' }, '/v1/../admin', false],
    ['a value of the query', { query: { q: { exact: 'a b' } } }, '/?q=a+b', true],
    ['a prefix in the query', { query: { q: { prefix: 'a' } } }, '/?q=ba', false],
    ['a name in the query', { query: { q: {} } }, '/?q', true],
    ['a name in the query', { query: { q: {} } }, '/q?p=1', false],
    ['a value of a header', { headers: { 'X-Kind': { exact: 'b' } } }, '/', true],
    ['a pattern for a header', { headers: { 'x-kind': { regex: '^c' } } }, '/', false],
    ['all conditions together', { path: '/', query: { q: {} }, headers: { 'x-kind': {} } }, '/?q=1', true],
  ])('match %s: %o %s %s', (_case, match, path, expected) => {
    const policy = compile([{ domain: 'api.test', match, headers: { 'X-Set': '1' } }]);
    const headerValues = (name: string) => (name === 'x-kind' ? ['a', 'b'] : []);
    const set = policy.headers.headersFor({ name: 'api.test', method: 'GET', path, headerValues });
    expect(set.size).toBe(expected ? 1 : 0);
  });

  it.each<[string, NetworkRule, RegExp, RegExp]>([
    [
      'two paths',
      { domain: 'a.test', match: { path: '/', pathPrefix: '/' } },
      /more than one condition/,
      /one of path/,
    ],
    [
      'an invalid path',
      { domain: 'a.test', match: { path: 'v1' } },
      /match\.path "v1" for a\.test/,
      /\/v1\//,
    ],
    ['a pattern', { domain: 'a.test', match: { pathRegex: '(' } }, /path_regex.*"\("/, /RE2/],
    [
      'two conditions on a value',
      { domain: 'a.test', match: { query: { q: { exact: 'a', prefix: 'a' } } } },
      /match\.query\.q for a\.test has more than one/,
      /one of exact/,
    ],
    [
      'a header name',
      { domain: 'a.test', match: { headers: { 'x y': {} } } },
      /"x y".*not a header name/,
      /X-Api-Key/,
    ],
    [
      'two effects',
      { domain: 'a.test', headers: { x: '1' }, response: { status: 403 } },
      /headers and response/,
      /separate rules/,
    ],
    [
      'an invalid forward_url',
      { domain: 'a.test', forwardUrl: 'http://p.test' },
      /"http:\/\/p\.test"/,
      /https URL/,
    ],
    ['a status', { domain: 'a.test', response: { status: 100 } }, /status 100/, /200 to 599/],
    [
      'a body without a type',
      { domain: 'a.test', response: { status: 200, body: 'x' } },
      /no content_type/,
      /text\/plain/,
    ],
    [
      'a header that the proxy sets',
      { domain: 'a.test', response: { status: 200, headers: { 'Content-Length': '1' } } },
      /sets content-length/,
      /Leave that header out/,
    ],
  ])('are rejected with the value and what is valid: %s', (_case, rule, message, hint) => {
    expect(() => compile([rule])).toThrow(
      expect.objectContaining({
        code: 'invalid_argument',
        message: expect.stringMatching(message),
        hint: expect.stringMatching(hint),
      }),
    );
  });

  it.each([
    '/v1/../admin',
    '/v1/%2e%2e/admin',
    '/v1/..%2fadmin',
    '/v1/a//b',
    '/v1/..\\admin',
    '/v1/..;/admin',
    '/v1/.',
    '/V1/a',
    '/v1/%252e',
    '/v1/a#b',
    '/v1/#',
  ])('with a path do not match %s, which servers may interpret as another path', (path) => {
    const policy = compile([{ domain: 'api.test', match: { pathPrefix: '/v1/' }, headers: { 'X-A': '1' } }]);
    expect(set(policy, 'api.test', '/v1/admin')).toEqual({ 'x-a': '1' });
    expect(set(policy, 'api.test', path)).toEqual({});
  });

  it('set nothing on TRACE, which echoes headers', () => {
    const policy = compile([{ domain: 'api.test', headers: { 'X-A': '1' } }]);
    expect(set(policy, 'api.test', '/', 'TRACE')).toEqual({});
  });

  it('of the engine are added to those of the policy, override them, and allow nothing', () => {
    const credentials = [{ domain: 'git.test', headers: { Authorization: `Basic ${KEY}` } }];
    const policy = compile([{ domain: 'api.test', headers: { 'X-A': '1' } }], credentials);
    expect(set(policy, 'git.test')).toEqual({ authorization: `Basic ${KEY}` });
    expect(policy.evaluateName('git.test').allowed).toBe(false);
    const both = compile(
      [{ domain: 'git.test', headers: { authorization: 'agent', 'X-B': '2' } }],
      credentials,
    );
    expect(set(both, 'git.test')).toEqual({ authorization: `Basic ${KEY}`, 'x-b': '2' });
    const open = compilePolicy({ mode: 'allow-all' }, HOST_NETWORK, { credentials });
    expect(set(open, 'git.test')).toEqual({ authorization: `Basic ${KEY}` });
  });

  it('are filled with secrets that all of their domain may receive', () => {
    const policy = compile([
      { domain: 'api.test', headers: { 'X-Key': `key ${KEY}` } },
      { domain: '*.deep.test', headers: { 'X-Key': KEY } },
    ]);
    expect(set(policy, 'api.test')).toEqual({ 'x-key': 'key k3y-value' });
    expect(set(policy, 'a.deep.test')).toEqual({ 'x-key': 'k3y-value' });
    for (const domain of ['evil.test', '*.test', '*', 'deep.test']) {
      expect(() => compile([{ domain, headers: { 'X-Key': KEY } }])).toThrow(
        expect.objectContaining({ code: 'permission', message: expect.stringContaining('KEY') }),
      );
    }
  });

  it.each<[string, NetworkRule]>([
    ['a line break in a value', { domain: 'a.test', headers: { 'X-A': 'a\r\nX-B: c' } }],
    ['a lone line feed in a value', { domain: 'a.test', headers: { 'X-A': 'a\nb' } }],
    ['a NUL in a value', { domain: 'a.test', headers: { 'X-A': 'a\0' } }],
    ['a value outside ISO 8859-1', { domain: 'a.test', headers: { 'X-A': '€' } }],
    ['a value that is too long', { domain: 'a.test', headers: { 'X-A': 'a'.repeat(9_000) } }],
    ['a multi-line secret', { domain: 'a.test', headers: { 'X-A': `\${secret:LINES}` } }],
    ['a name with a colon', { domain: 'a.test', headers: { 'X-A:': 'a' } }],
    ['a pseudo-header', { domain: 'a.test', headers: { ':authority': 'b.test' } }],
    ['a name with a line break', { domain: 'a.test', headers: { 'X-A\r\n': 'a' } }],
    ['an empty name', { domain: 'a.test', headers: { '': 'a' } }],
    ['a header twice', { domain: 'a.test', headers: { 'X-A': 'a', 'x-a': 'b' } }],
    ...[
      'Host',
      'content-length',
      'Transfer-Encoding',
      'Connection',
      'TE',
      'Upgrade',
      'Trailer',
      'Expect',
      'Proxy-Authorization',
      'Keep-Alive',
    ].map((name): [string, NetworkRule] => [name, { domain: 'a.test', headers: { [name]: 'a' } }]),
    ['no methods', { domain: 'a.test', match: { methods: [] } }],
    ['a method with a space', { domain: 'a.test', match: { methods: ['GET /'] } }],
    ['a prefix without a slash', { domain: 'a.test', match: { pathPrefix: 'v1' } }],
    ['a prefix with a query', { domain: 'a.test', match: { pathPrefix: '/v1?a' } }],
    ['a prefix with ..', { domain: 'a.test', match: { pathPrefix: '/v1/../' } }],
    ['an unknown secret', { domain: 'a.test', headers: { 'X-A': `\${secret:NO}` } }],
    ['a URL as a domain', { domain: 'https://a.test', headers: {} }],
  ])('are rejected for %s', (_title, rule) => {
    let refused: unknown = null;
    try {
      compile([rule]);
    } catch (error) {
      refused = error;
    }
    expect(refused).toBeInstanceOf(SandboxError);
    expect(refused).toMatchObject({ code: 'invalid_argument' });
    expect(JSON.stringify(refused)).not.toContain('three');
  });
});
