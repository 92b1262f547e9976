import { describe, expect, it } from 'vitest';
import { SandboxError } from '../../src/shared/errors.ts';
import { paginate, parseCursor } from '../../src/shared/pagination.ts';

const ALL = { limit: 100, since: null, until: null, cursor: null };
const own = (place: { createdAt: number; id: string }) => place;
/** Unordered; three of the same millisecond. */
const PLACES = [
  { createdAt: 1, id: 'sbx_22222a' },
  { createdAt: 3, id: 'sbx_22222e' },
  { createdAt: 2, id: 'sbx_22222c' },
  { createdAt: 2, id: 'sbx_22222b' },
  { createdAt: 2, id: 'sbx_22222d' },
];

describe('pageOf', () => {
  it.each([1, 2, 3, 4, 5, 6])('lists everything once, newest first, in pages of %i', (limit) => {
    const listed: string[] = [];
    let cursor: string | null = null;
    do {
      const page: ReturnType<typeof paginate<(typeof PLACES)[number]>> = paginate(
        PLACES,
        { ...ALL, limit, cursor },
        own,
      );
      expect(page.items.length).toBeLessThanOrEqual(limit);
      listed.push(...page.items.map(({ id }) => id));
      cursor = page.nextCursor;
    } while (cursor !== null);
    expect(listed).toEqual(['sbx_22222e', 'sbx_22222d', 'sbx_22222c', 'sbx_22222b', 'sbx_22222a']);
  });

  it('keeps its place when the last item was deleted and a newer one was added', () => {
    const first = paginate(PLACES, { ...ALL, limit: 3 }, own);
    const later = [...PLACES.filter(({ id }) => id !== 'sbx_22222c'), { createdAt: 9, id: 'sbx_22222z' }];
    const next = paginate(later, { ...ALL, cursor: first.nextCursor }, own);
    expect(next).toEqual({ items: [PLACES[3], PLACES[0]], nextCursor: null });
  });

  it.each([
    [2, null, ['sbx_22222e', 'sbx_22222d', 'sbx_22222c', 'sbx_22222b']],
    [null, 2, ['sbx_22222d', 'sbx_22222c', 'sbx_22222b', 'sbx_22222a']],
    [3, 3, ['sbx_22222e']],
    [4, null, []],
    [3, 2, []],
  ])('from %s to %s, both included', (since, until, ids) => {
    const { items } = paginate(PLACES, { ...ALL, since, until }, own);
    expect(items.map(({ id }) => id)).toEqual(ids);
  });
});

describe('placeOf', () => {
  it('rejects the cursor of another list', () => {
    expect(() => parseCursor('2.snap_22222a', (text) => text.startsWith('sbx_'))).toThrow(SandboxError);
  });

  it('accepts the cursor of a page', () => {
    expect(parseCursor(null)).toBeNull();
    expect(parseCursor('2.snap_22222a')).toEqual({ createdAt: 2, id: 'snap_22222a' });
  });

  it.each([
    '',
    'sbx_22222a',
    '2',
    '2.',
    '2.sbx_',
    '-2.sbx_22222a',
    '2.sbx_22222a\n',
    '12345678901234567.sbx_22222a',
  ])('rejects %j, which no page returned', (cursor) => {
    expect(() => parseCursor(cursor)).toThrow(SandboxError);
  });
});
