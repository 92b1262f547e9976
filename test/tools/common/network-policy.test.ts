import { describe, expect, it } from 'vitest';
import type { NetworkPolicy } from '../../../src/shared/policy-schema.ts';
import { networkPolicy, policyAnswer, toNetworkPolicy } from '../../../tools/common/network-policy.ts';

const ARGUMENT = {
  mode: 'custom',
  allow: ['example.com'],
  rules: [
    {
      domain: 'api.test',
      match: { methods: ['GET'], path_prefix: '/v1/' },
      headers: { Accept: 'text/plain' },
    },
    { domain: 'b.test' },
  ],
};
const POLICY: NetworkPolicy = {
  mode: 'custom',
  allow: ['example.com'],
  rules: [
    {
      domain: 'api.test',
      match: { methods: ['GET'], pathPrefix: '/v1/' },
      headers: { Accept: 'text/plain' },
    },
    { domain: 'b.test' },
  ],
};

describe('the network policy of the tools', () => {
  it("is translated to the engines' policy", () => {
    expect(toNetworkPolicy(networkPolicy.parse(ARGUMENT))).toEqual(POLICY);
    expect(toNetworkPolicy(networkPolicy.parse({ mode: 'deny-all' }))).toEqual({ mode: 'deny-all' });
  });

  it("is shown with the tools' field names, without header values", () => {
    const [first, second] = ARGUMENT.rules;
    expect(policyAnswer(POLICY)).toEqual({
      ...ARGUMENT,
      rules: [{ ...first, headers: { Accept: '***' } }, second],
    });
  });

  it('rejects fields with another spelling', () => {
    const rules = [{ domain: 'api.test', match: { pathPrefix: '/v1/' } }];
    expect(networkPolicy.safeParse({ mode: 'custom', rules }).success).toBe(false);
  });
});
