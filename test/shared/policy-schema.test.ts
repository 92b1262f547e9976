import { describe, expect, it } from 'vitest';
import { networkPolicyRecord } from '../../src/shared/policy-schema.ts';

describe('a network policy on disk', () => {
  it('is read from records of version 0.1.0, which say path_prefix', () => {
    const old = {
      mode: 'custom',
      allow: ['example.com'],
      subnets: { allow: ['192.0.2.0/24'], deny: [] },
      rules: [
        {
          domain: 'api.example.com',
          match: { methods: ['GET'], path_prefix: '/v1/' },
          headers: { Accept: '***' },
        },
        { domain: '*.example.com' },
      ],
    };
    expect(networkPolicyRecord.parse(old)).toEqual({
      ...old,
      rules: [
        {
          domain: 'api.example.com',
          match: { methods: ['GET'], pathPrefix: '/v1/' },
          headers: { Accept: '***' },
        },
        { domain: '*.example.com' },
      ],
    });
  });

  it.each([
    { mode: 'allow-all' },
    { mode: 'custom', rules: [{ domain: 'a.test', match: { pathPrefix: '/v1/' } }] },
  ])('reads what it wrote: %j', (policy) => {
    expect(networkPolicyRecord.parse(policy)).toEqual(policy);
  });

  it.each([
    { mode: 'none' },
    { mode: 'custom', rules: [{ domain: 'a.test', match: { path_prefix: 1 } }] },
    { mode: 'custom', rules: [{ domain: 'a.test', port: 80 }] },
  ])('rejects what no version wrote: %j', (policy) => {
    expect(networkPolicyRecord.safeParse(policy).success).toBe(false);
  });
});
