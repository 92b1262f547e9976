import { describe, expect, it } from 'vitest';
import { seccompProfile } from '../../../../src/engines/oci/container/seccomp-profile.ts';
import { ioctlRules, prefixesOfOthers } from '../../../../src/engines/oci/container/seccomp-rules.ts';

/** Whether one of the prefixes matches the number, as 32 bits. */
function holds(prefixes: { mask: number; value: number }[], number: number): boolean {
  return prefixes.some(({ mask, value }) => (number & mask) >>> 0 === value);
}

describe('the seccomp filter', () => {
  it('covers every number but the given ones by prefixes', () => {
    const refused = [0x5412, 0x541c, 0x5423];
    const prefixes = prefixesOfOthers(refused);
    for (const number of refused) {
      expect(holds(prefixes, number)).toBe(false);
      for (let bit = 0; bit < 32; bit++) {
        const other = (number ^ (1 << bit)) >>> 0;
        expect([other, holds(prefixes, other)]).toEqual([other, !refused.includes(other)]);
      }
    }
    for (const number of [0, 0xffff_ffff, 0x5401, 0x5413]) expect(holds(prefixes, number)).toBe(true);
  });

  it('compares only the lower half of an argument, as the kernel does', () => {
    for (const { args = [] } of ioctlRules()) {
      for (const { op, value, valueTwo } of args) {
        expect(op).toBe('SCMP_CMP_MASKED_EQ');
        expect(Math.max(value, valueTwo ?? 0)).toBeLessThan(2 ** 32);
      }
    }
  });

  it('allows no call that creates namespaces, mounts or loads kernel code', () => {
    const { defaultAction, syscalls } = seccompProfile('x64', '6.1.0');
    expect(defaultAction).toBe('SCMP_ACT_ERRNO');
    const always = syscalls.flatMap(({ names, action, args }) =>
      action === 'SCMP_ACT_ALLOW' && args === undefined ? names : [],
    );
    const never = [
      'unshare',
      'setns',
      'mount',
      'bpf',
      'keyctl',
      'io_uring_setup',
      'init_module',
      'ioctl',
      'socket',
      'clone',
      'clone3',
      'prlimit64',
    ];
    expect(never.filter((name) => always.includes(name))).toEqual([]);
  });

  it('allows tracing only where the filter sees what a tracer has changed', () => {
    const allowed = (release: string) =>
      seccompProfile('x64', release).syscalls.some(
        ({ names, action }) => action === 'SCMP_ACT_ALLOW' && names.includes('ptrace'),
      );
    expect(['6.1.0-18-amd64', '5.0', '4.8.0', '4.19.304'].map(allowed)).toEqual([true, true, true, true]);
    expect(['4.7.10', '3.10.0-1160.el7.x86_64', ''].map(allowed)).toEqual([false, false, false]);
  });
});
