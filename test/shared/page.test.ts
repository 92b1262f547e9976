import { describe, expect, it } from 'vitest';
import { SandboxError } from '../../src/shared/errors.ts';
import { pageOf, readQuery } from '../../src/shared/page.ts';

const ALL = { limit: 100, since: null, until: null, cursor: null };
const isId = (text: string) => /^sbx_[a-z]$/.test(text);
const own = (place: { createdAt: number; id: string }) => place;
/** In no order; three of the same millisecond. */
const PLACES = [
  { createdAt: 1, id: 'sbx_a' },
  { createdAt: 3, id: 'sbx_e' },
  { createdAt: 2, id: 'sbx_c' },
  { createdAt: 2, id: 'sbx_b' },
  { createdAt: 2, id: 'sbx_d' },
];

describe('pageOf', () => {
  it.each([1, 2, 3, 4, 5, 6])('tells everything once, newest first, in pages of %i', (limit) => {
    const told: string[] = [];
    let cursor: string | null = null;
    do {
      const page: ReturnType<typeof pageOf<(typeof PLACES)[number]>> = pageOf(
        PLACES,
        readQuery({ ...ALL, limit, cursor }, isId),
        own,
      );
      expect(page.items.length).toBeLessThanOrEqual(limit);
      told.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor;
    } while (cursor !== null);
    expect(told).toEqual(['sbx_e', 'sbx_d', 'sbx_c', 'sbx_b', 'sbx_a']);
  });

  it('keeps its place where the last one told is gone, and something newer has come', () => {
    const first = pageOf(PLACES, readQuery({ ...ALL, limit: 3 }, isId), own);
    const later = [...PLACES.filter(({ id }) => id !== 'sbx_c'), { createdAt: 9, id: 'sbx_z' }];
    const next = pageOf(later, readQuery({ ...ALL, cursor: first.nextCursor }, isId), own);
    expect(next).toEqual({ items: [PLACES[3], PLACES[0]], nextCursor: null });
  });

  it.each([
    [2, null, ['sbx_e', 'sbx_d', 'sbx_c', 'sbx_b']],
    [null, 2, ['sbx_d', 'sbx_c', 'sbx_b', 'sbx_a']],
    [3, 3, ['sbx_e']],
    [4, null, []],
    [3, 2, []],
  ])('from %s to %s, both included', (since, until, ids) => {
    const { items } = pageOf(PLACES, readQuery({ ...ALL, since, until }, isId), own);
    expect(items.map(({ id }) => id)).toEqual(ids);
  });
});

describe('readQuery', () => {
  it.each([
    '',
    'sbx_a',
    '2',
    '2.',
    '2.snap_a',
    '-2.sbx_a',
    '2.sbx_a\n',
    '12345678901234567.sbx_a',
    ' 2.sbx_a',
  ])('refuses %j, which no page answered', (cursor) => {
    expect(() => readQuery({ ...ALL, cursor }, isId)).toThrow(SandboxError);
  });
});
