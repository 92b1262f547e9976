/** The hints for refused sources. */
import { describe, expect, it } from 'vitest';
import { gitFailure } from '../../../../src/engines/oci/source/git-failure.ts';
import type { Outcome } from '../../../../src/engines/oci/source/guest-program.ts';
import { policyRefusal } from '../../../../src/engines/oci/source/policy-refusal.ts';
import { DEFAULT_SOURCE_LIMITS } from '../../../../src/engines/oci/source/source-limits.ts';

const OPENED = /--egress-allow/;

describe('a source that the network policy denies', () => {
  it.each<[string, string, string, boolean]>([
    ['http://a.example/x', 'a.example (mode deny-all)', 'allows that domain', false],
    ['http://198.51.100.7/x', '198.51.100.7 (mode deny-all)', '198.51.100.7/32 in network_policy', false],
    ['http://8.8.8.8/x', '8.8.8.8 (mode deny-all)', '8.8.8.8/32 in network_policy.subnets.allow', false],
    ['http://10.1.2.3:80/x', '10.1.2.3 (mode deny-all)', '10.1.2.3/32 in network_policy.subnets.allow', true],
    ['http://[2600::1]/x', '[2600::1] (mode deny-all)', '2600::1/128 in', false],
    [
      'http://8.8.8.8/x',
      '8.8.8.8:80 (8.8.8.8 does not belong to an allowed domain or subnet)',
      '8.8.8.8/32',
      false,
    ],
    ['http://a.example/x', 'a.example:80 (subnets.deny 8.0.0.0/8)', 'does not contain that address', false],
    [
      'http://10.1.2.3/x',
      '10.1.2.3:80 (10.1.2.3 is a private address, which only the operator can allow)',
      'ask the operator',
      true,
    ],
  ])('%s, for %s, has a next step: %s', (url, refusal, hint, isOpened) => {
    const error = policyRefusal(url, refusal);
    expect(error).toMatchObject({ code: 'permission', hint: expect.stringContaining(hint) });
    expect(OPENED.test(error.hint)).toBe(isOpened);
  });
});

describe('a git error', () => {
  const saying = (said: string, more: { username?: string; password?: string } = {}) => {
    const outcome: Outcome = { exitCode: 128, endedBy: 'exit', signal: null, stdout: '', stderrLines: said };
    return gitFailure(
      { type: 'git', url: 'https://a.example/x', ...more },
      outcome,
      null,
      DEFAULT_SOURCE_LIMITS,
    );
  };

  it.each([
    [
      'fatal: could not read Username: terminal prompts disabled',
      'auth',
      'requires a username',
      'rejected the credentials',
    ],
    [
      'fatal: repository not found: Repository not found',
      'not_found',
      'other credentials',
      'these credentials',
    ],
    ['The requested URL returned error: 403', 'permission', 'x refuses.', 'these credentials'],
  ])('depends on whether credentials were sent: %s', (said, code, without, withThem) => {
    expect(saying(said)).toMatchObject({ code, message: expect.stringContaining(without) });
    const sent = saying(said, { password: 'x' });
    expect(sent).toMatchObject({ code, message: expect.stringContaining(withThem) });
    expect(sent.hint).not.toContain('again with source.username');
  });
});
