import { describe, expect, it } from 'vitest';
import type { NetworkPolicy } from '../../../src/engines/engine.ts';
import {
  fromSdkPolicy,
  masked,
  policyInForce,
  toSdkPolicy as toFilled,
} from '../../../src/engines/vercel/sandbox/network-policy.ts';
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
});
