import { isAsked, type Place, placeOf } from '../../shared/page.ts';
import type { ListQuery } from '../engine.ts';

/** Items that the platform is asked for at a time. */
export const BATCH = 50;

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
