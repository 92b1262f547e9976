import { describe, expect, it } from 'vitest';
import type { NetworkPolicy } from '../../../src/engines/engine.ts';
import {
  fromSdkPolicy,
  masked,
  policyInForce,
  toSdkPolicy as toFilled,
} from '../../../src/engines/vercel/policy/network-policy.ts';
import { SecretStore } from '../../../src/shared/secrets.ts';

const SECRETS = new SecretStore([
  { name: 'KEY', value: 'swordfish', domains: ['api.example.com'], env: false },
]);
const toSdkPolicy = (policy: NetworkPolicy) => toFilled(policy, SECRETS);

const RULE = {
  domain: 'api.example.com',
  match: { methods: ['GET'], pathPrefix: '/v1' },
  headers: { authorization: 'Bearer hidden' },
};

describe('network policies of the cloud', () => {
  it('are strings if they need no lists', () => {
    for (const mode of ['allow-all', 'deny-all'] as const) {
      expect(toSdkPolicy({ mode })).toBe(mode);
      expect(fromSdkPolicy(mode)).toEqual({ mode });
    }
    expect(fromSdkPolicy(undefined)).toEqual({ mode: 'allow-all' });
  });

  it('count the domain of a rule as allowed, and include match and headers', () => {
    const policy = toSdkPolicy({
      mode: 'custom',
      allow: ['*.example.org'],
      subnets: { allow: ['203.0.113.0/24'], deny: ['203.0.113.9/32'] },
      rules: [RULE, { domain: 'plain.example.com' }],
    });
    expect(policy).toEqual({
      allow: {
        '*.example.org': [],
        'api.example.com': [
          {
            match: { method: ['GET'], path: { startsWith: '/v1' } },
            transform: [{ headers: { authorization: 'Bearer hidden' } }],
          },
        ],
        'plain.example.com': [],
      },
      subnets: { allow: ['203.0.113.0/24'], deny: ['203.0.113.9/32'] },
    });
  });

  it('keep the rules of one domain in order', () => {
    const second = { domain: RULE.domain, headers: { 'x-second': '2' } };
    expect(toSdkPolicy({ mode: 'custom', rules: [RULE, second] })).toMatchObject({
      allow: { 'api.example.com': [{ match: {} }, { transform: [{ headers: { 'x-second': '2' } }] }] },
    });
  });

  it('are returned without header values', () => {
    const reported = fromSdkPolicy(toSdkPolicy({ mode: 'custom', rules: [RULE] }));
    expect(reported).toEqual({
      mode: 'custom',
      allow: ['api.example.com'],
      rules: [{ ...RULE, headers: { authorization: '***' } }],
    });
    expect(masked({ mode: 'custom', rules: [RULE] }).rules?.[0]?.headers).toEqual({ authorization: '***' });
  });

  it('deny everything if nothing is allowed', () => {
    expect(toSdkPolicy({ mode: 'custom' })).toEqual({ allow: {} });
    expect(fromSdkPolicy({ allow: {} })).toEqual({ mode: 'custom', allow: [] });
    expect(fromSdkPolicy({ allow: ['example.com'] })).toEqual({ mode: 'custom', allow: ['example.com'] });
  });

  it('contain secrets for their domains only, and are stored without them', () => {
    const requested: NetworkPolicy = {
      mode: 'custom',
      rules: [{ domain: 'API.example.com', headers: { authorization: 'Bearer \u0024{secret:KEY}' } }],
    };
    const sent = toSdkPolicy(requested);
    expect(sent).toEqual({
      allow: { 'api.example.com': [{ transform: [{ headers: { authorization: 'Bearer swordfish' } }] }] },
    });
    expect(masked(requested)).toEqual(requested);
    expect(policyInForce(sent, masked(requested))).toEqual(requested);
    const otherDomain: NetworkPolicy = {
      mode: 'custom',
      rules: [{ domain: 'other.example.com', headers: { authorization: '\u0024{secret:KEY}' } }],
    };
    expect(() => toSdkPolicy(otherDomain)).toThrow('Secret KEY may not be sent to other.example.com');
  });

  it('are reported as requested if the platform returns them in another form or order', () => {
    const requested: NetworkPolicy = {
      mode: 'custom',
      allow: ['b.example', 'a.example'],
      subnets: { deny: ['10.0.0.0/8', '192.168.0.0/16'], allow: [] },
      rules: [
        {
          domain: 'b.example',
          match: { methods: ['PUT', 'GET'] },
          headers: { 'X-Two': '***', 'x-one': '***' },
        },
        { domain: 'a.example', headers: { Authorization: '***' } },
      ],
    };
    const spelled = {
      allow: {
        'a.example': [{ transform: [{ headers: { authorization: '<redacted>' } }] }],
        'b.example': [
          {
            match: { method: ['GET', 'PUT'] },
            transform: [{ headers: { 'x-one': '<redacted>', 'x-two': '<redacted>' } }],
          },
        ],
      },
      subnets: { deny: ['192.168.0.0/16', '10.0.0.0/8'] },
    };
    expect(policyInForce(spelled, requested)).toBe(requested);
    expect(policyInForce({}, requested)).toBe(requested);
    expect(policyInForce({ ...spelled, allow: ['a.example'] }, requested)).toMatchObject({
      allow: ['a.example'],
    });
  });

  it('are reported as the platform has them if they were changed elsewhere', () => {
    const requested: NetworkPolicy = { mode: 'custom', allow: ['Example.com'] };
    expect(policyInForce(toSdkPolicy(requested), requested)).toBe(requested);
    expect(policyInForce('deny-all', requested)).toEqual({ mode: 'deny-all' });
    expect(policyInForce('deny-all', null)).toEqual({ mode: 'deny-all' });
  });

  it.each<[string, NonNullable<NetworkPolicy['rules']>[number], object]>([
    [
      'an exact path',
      { domain: 'a.example', match: { path: '/v1' }, headers: { x: '1' } },
      { path: { exact: '/v1' } },
    ],
    [
      'a pattern for the path',
      { domain: 'a.example', match: { pathRegex: '^/v[12]/' }, headers: { x: '1' } },
      { path: { regex: '^/v[12]/' } },
    ],
    [
      'headers and query',
      {
        domain: 'a.example',
        match: {
          headers: { 'x-key': { exact: 'k' }, 'x-any': {} },
          query: { page: { regex: '^[0-9]+$' }, q: { prefix: 'a' } },
        },
        headers: { x: '1' },
      },
      {
        headers: [{ key: { exact: 'x-key' }, value: { exact: 'k' } }, { key: { exact: 'x-any' } }],
        queryString: [
          { key: { exact: 'page' }, value: { regex: '^[0-9]+$' } },
          { key: { exact: 'q' }, value: { startsWith: 'a' } },
        ],
      },
    ],
  ])('keep conditions in both directions: %s', (_case, rule, match) => {
    const policy: NetworkPolicy = { mode: 'custom', allow: ['a.example'], rules: [rule] };
    const sent = toSdkPolicy(policy);
    expect(sent).toEqual({ allow: { 'a.example': [{ match, transform: [{ headers: { x: '1' } }] }] } });
    expect(fromSdkPolicy(sent)).toEqual({
      mode: 'custom',
      allow: ['a.example'],
      rules: [{ ...rule, headers: { x: '***' } }],
    });
    expect(policyInForce(sent, masked(policy))).toEqual(masked(policy));
  });

  it('forward requests and answer them', () => {
    const forward = {
      domain: 'a.example',
      match: { methods: ['GET'] },
      forwardUrl: 'https://proxy.example/p',
    };
    const response = { status: 403, body: 'no', contentType: 'text/plain' };
    const policy: NetworkPolicy = { mode: 'custom', rules: [forward, { domain: 'a.example', response }] };
    const sent = toSdkPolicy(policy);
    expect(sent).toEqual({
      allow: {
        'a.example': [
          { match: { method: ['GET'] }, forwardURL: 'https://proxy.example/p' },
          { response: { statusCode: 403, body: 'no', contentType: 'text/plain' } },
        ],
      },
    });
    expect(fromSdkPolicy(sent).rules).toEqual(policy.rules);
  });

  it('are reported with conditions that have no field, in the form of the platform', () => {
    const match = {
      path: { exact: '/a', startsWith: '/' },
      headers: [{ key: { regex: '^x-' }, value: { exact: 'k' } }],
      queryString: [
        { key: { exact: 'q' }, value: { exact: '1' } },
        { key: { exact: 'q' }, value: { exact: '2' } },
      ],
    };
    const reported = fromSdkPolicy({
      allow: { 'a.example': [{ match, transform: [{ headers: { x: '1' } }] }] },
    });
    expect(reported.rules?.[0]?.match).toEqual({
      headers: {},
      query: { q: { exact: '1' } },
      other: [
        'path {"exact":"/a","startsWith":"/"}',
        'headers {"key":{"regex":"^x-"},"value":{"exact":"k"}}',
        'query {"key":{"exact":"q"},"value":{"exact":"2"}}',
      ],
    });
  });

  it('are reported with the parts that the SDK does not parse, and as requested if those may be the same', () => {
    const allow: NetworkPolicy = { mode: 'custom', allow: ['a.example'] };
    const other = ['responseRules: [{"domain":"a.example"}]'];
    expect(policyInForce(toSdkPolicy(allow), allow, other)).toEqual({ ...allow, other });
    expect(policyInForce('allow-all', null, other)).toEqual({ mode: 'allow-all', other });
    const answers: NetworkPolicy = {
      mode: 'custom',
      allow: ['a.example'],
      rules: [{ domain: 'a.example', response: { status: 403 } }],
    };
    const present = { allow: ['a.example'] };
    expect(policyInForce(present, answers, other)).toBe(answers);
    expect(policyInForce({ allow: ['b.example'] }, answers, other)).toMatchObject({
      allow: ['b.example'],
      other,
    });
  });
});
