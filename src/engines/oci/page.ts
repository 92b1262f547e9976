import { SandboxError } from '../../shared/errors.ts';
import type { ListQuery, Page } from '../engine.ts';

interface Place {
  createdAt: number;
  id: string;
}

const CURSOR = /^(\d{1,16})\.([a-z]+_[2-9a-z]{12})$/;

/** Newest first; the id decides between equals, so that a page never repeats or skips one. */
function newestFirst(a: Place, b: Place): number {
  return b.createdAt - a.createdAt || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}

function placeOf(cursor: string): Place {
  const match = CURSOR.exec(cursor);
  if (match === null) {
    throw new SandboxError('invalid_argument', `"${cursor.slice(0, 64)}" is not a cursor.`, {
      hint: 'Pass next_cursor of the page before, unchanged, or leave cursor out.',
    });
  }
  return { createdAt: Number(match[1]), id: match[2] ?? '' };
}

/**
 * One page of these items.
 * @throws `invalid_argument` for a cursor that no page answered
 */
export function pageOf<Item extends { createdAt: number }>(
  all: Item[],
  query: ListQuery,
  idOf: (item: Item) => string,
): Page<Item> {
  const after = query.cursor === null ? null : placeOf(query.cursor);
  const sorted = all
    .map((item) => ({ item, createdAt: item.createdAt, id: idOf(item) }))
    .filter(({ createdAt }) => createdAt >= (query.since ?? 0) && createdAt <= (query.until ?? Infinity))
    .filter((place) => after === null || newestFirst(after, place) < 0)
    .sort(newestFirst);
  const shown = sorted.slice(0, query.limit);
  const last = shown.at(-1);
  const more = sorted.length > shown.length && last !== undefined;
  return {
    items: shown.map(({ item }) => item),
    nextCursor: more ? `${last.createdAt}.${last.id}` : null,
  };
}
