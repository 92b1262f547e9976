import { SandboxError } from '../../shared/errors.ts';
import type { ListQuery, Page } from '../engine.ts';

export interface Place {
  createdAt: number;
  id: string;
}

const CURSOR = /^(\d{1,16})\.([a-z]+_[0-9A-Za-z_-]{6,80})$/;
/** Items that the platform is asked for at a time. */
export const BATCH = 50;

/** Newest first; the id decides between equals, so that a page never repeats or skips one. */
function newestFirst(a: Place, b: Place): number {
  return b.createdAt - a.createdAt || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}

/** @throws SandboxError `invalid_argument` for a cursor that no page answered */
export function placeOf(cursor: string | null): Place | null {
  if (cursor === null) return null;
  const match = CURSOR.exec(cursor);
  if (match === null) {
    throw new SandboxError('invalid_argument', `"${cursor.slice(0, 64)}" is not a cursor.`, {
      hint: 'Pass next_cursor of the page before, unchanged, or leave cursor out.',
    });
  }
  return { createdAt: Number(match[1]), id: match[2] ?? '' };
}

/**
 * Reads pages of the platform, which come newest first and know no times to begin or end at, until what is asked for
 * is surely among them. `read` answers a page and where the next one begins.
 */
export async function gather<Item>(
  query: ListQuery,
  placeOfItem: (item: Item) => Place,
  read: (cursor: string | null) => Promise<{ items: Item[]; next: string | null }>,
): Promise<Item[]> {
  const after = placeOf(query.cursor);
  const found: Item[] = [];
  let cursor: string | null = null;
  do {
    const page = await read(cursor);
    found.push(...page.items.filter((item) => isAsked(placeOfItem(item), query, after)));
    const oldest = page.items.at(-1);
    // One of the same millisecond may be on the next page.
    if (oldest !== undefined && query.since !== null && placeOfItem(oldest).createdAt < query.since) break;
    const last = found[query.limit];
    if (last !== undefined && oldest !== undefined) {
      if (placeOfItem(oldest).createdAt < placeOfItem(last).createdAt) break;
    }
    cursor = page.next;
  } while (cursor !== null);
  return found;
}

function isAsked(place: Place, query: ListQuery, after: Place | null): boolean {
  const { createdAt } = place;
  if (createdAt < (query.since ?? 0) || createdAt > (query.until ?? Number.POSITIVE_INFINITY)) return false;
  return after === null || newestFirst(after, place) < 0;
}

/** One page of what was gathered. */
export function pageOf<Item>(all: Item[], query: ListQuery, placeOfItem: (item: Item) => Place): Page<Item> {
  const after = placeOf(query.cursor);
  const sorted = all
    .filter((item) => isAsked(placeOfItem(item), query, after))
    .sort((a, b) => newestFirst(placeOfItem(a), placeOfItem(b)));
  const items = sorted.slice(0, query.limit);
  const last = items.at(-1);
  if (sorted.length <= items.length || last === undefined) return { items, nextCursor: null };
  const place = placeOfItem(last);
  return { items, nextCursor: `${place.createdAt}.${place.id}` };
}
