import { describe, expect, it } from 'vitest';
import { compilePolicy } from '../../../../src/egress/policy/policy.ts';
import { checkPolicy } from '../../../../src/engines/oci/network/check-policy.ts';
import type { NetworkPolicy, NetworkRule } from '../../../../src/shared/policy-schema.ts';

const HOST_NETWORK = { opened: [], ownAddresses: () => [] };
const gateways = { compile: (policy: NetworkPolicy) => compilePolicy(policy, HOST_NETWORK) };
const check = (policy: NetworkPolicy, egress = true) => checkPolicy({ gateways }, { egress }, policy);

describe('a policy of the local engine', () => {
  it.each<[string, Omit<NetworkRule, 'domain'>, RegExp]>([
    ['forward_url', { forwardUrl: 'https://proxy.example/p' }, /let the program use the proxy itself/],
    ['response', { response: { status: 403 } }, /Leave the domain out of allow/],
  ])('cannot have %s, and says what to do instead', (field, effect, hint) => {
    const rules = [{ domain: 'b.example' }, { domain: 'a.example', ...effect }];
    expect(() => check({ mode: 'custom', rules })).toThrow(
      expect.objectContaining({
        code: 'unsupported',
        message: expect.stringMatching(new RegExp(`oci engine cannot .*a\\.example.*\\(${field}\\)`)),
        hint: expect.stringMatching(hint),
        details: { domain: 'a.example', field },
      }),
    );
  });

  it('has every other condition and effect', () => {
    const match = {
      ...{ methods: ['GET'], pathRegex: '^/v1/' },
      ...{ headers: { 'x-key': { exact: 'k' } }, query: { page: { regex: '^[0-9]+$' } } },
    };
    expect(check({ mode: 'custom', rules: [{ domain: 'a.example', match, headers: { x: '1' } }] })).toBe(
      undefined,
    );
  });

  it('allows nothing where the host has no network for sandboxes', () => {
    expect(check({ mode: 'deny-all' }, false)).toBe(undefined);
    expect(() => check({ mode: 'allow-all' }, false)).toThrow(
      expect.objectContaining({ code: 'unsupported' }),
    );
  });
});
