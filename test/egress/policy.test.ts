import { describe, expect, it } from 'vitest';
import { parseAddress, parseRangeWithPort, type Range } from '../../src/egress/policy/ip-ranges.ts';
import { compilePolicy } from '../../src/egress/policy/policy.ts';
import { BAD_POLICIES } from '../conformance/policies/bad-policies.ts';
import { POLICY_CASES } from '../conformance/policies/policy-cases.ts';

function ranges(texts: readonly string[]): Range[] {
  return texts.map((text) => {
    const range = parseRangeWithPort(text);
    if (range === null) throw new Error(`${text} is not a range`);
    return range;
  });
}

describe('network policies', () => {
  it.each(POLICY_CASES)('$title', ({ policy, opened, name, address, port, allowed }) => {
    const compiled = compilePolicy(policy, { opened: ranges(opened ?? []), ownAddresses: () => [] });
    const parsed = parseAddress(address);
    if (parsed === null) throw new Error(`${address} is not an address`);
    const decision = compiled.evaluate(name === null ? [] : [name], parsed, port ?? 443);
    expect(decision.allowed).toBe(allowed);
    expect(decision.rule).not.toBe('');
  });

  it.each(BAD_POLICIES)('rejects %s', (_title, policy) => {
    expect(() => compilePolicy(policy, { opened: [], ownAddresses: () => [] })).toThrow(
      expect.objectContaining({ code: 'invalid_argument' }),
    );
  });

  it("blocks the host's own addresses, whatever they are", () => {
    const compiled = compilePolicy(
      { mode: 'allow-all' },
      { opened: [], ownAddresses: () => ['198.51.100.7'] },
    );
    const isAllowed = (text: string) => compiled.evaluate([], parseAddress(text) ?? fail(text), 80).allowed;
    expect([isAllowed('198.51.100.7'), isAllowed('::ffff:198.51.100.7'), isAllowed('198.51.100.8')]).toEqual([
      false,
      false,
      true,
    ]);
  });

  it.each(['0x7f.0.0.1', '127.1', '2130706433', '0177.0.0.1', '127.0.0.1 ', 'fe80::1%lo', '[::1]', ''])(
    'does not parse %j as an address',
    (text) => {
      expect(parseAddress(text)).toBeNull();
    },
  );
});

function fail(text: string): never {
  throw new Error(`${text} is not an address`);
}
