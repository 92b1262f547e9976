import { describe, expect, it } from 'vitest';
import { OneTimeTokens } from '../../../../src/engines/oci/ports/one-time-tokens.ts';

describe('one-time tokens', () => {
  it('are accepted once', () => {
    const tokens = new OneTimeTokens();
    const [one, two] = [tokens.issue(), tokens.issue()];
    expect(one).toMatch(/^[\w-]{43}$/);
    expect(one).not.toBe(two);
    expect([tokens.redeem(two), tokens.redeem(one), tokens.redeem(one)]).toEqual([true, true, false]);
    expect([tokens.redeem(''), tokens.redeem('x'.repeat(43))]).toEqual([false, false]);
  });

  it('expire after ten minutes', () => {
    let now = 1_000;
    const tokens = new OneTimeTokens(() => now);
    const [one, two] = [tokens.issue(), tokens.issue()];
    now += 599_999;
    expect(tokens.redeem(one)).toBe(true);
    now += 1;
    expect(tokens.redeem(two)).toBe(false);
  });

  it('are bounded in number: the oldest is dropped', () => {
    const tokens = new OneTimeTokens();
    const all = Array.from({ length: 17 }, () => tokens.issue());
    expect(all.map((token) => tokens.redeem(token))).toEqual([false, ...Array(16).fill(true)]);
  });
});
