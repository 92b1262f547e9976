/** Pages of lists that are sorted newest first. */
import { SandboxError } from './errors.ts';

/** The position of an item in its list; a cursor is the position of the last item returned. */
export interface Position {
  /** Epoch ms. */
  readonly createdAt: number;
  readonly id: string;
}

/** As in the engine contract; bounds are inclusive. */
interface Query {
  readonly limit: number;
  readonly since: number | null;
  readonly until: number | null;
  readonly cursor: string | null;
}

const CURSOR = /^(\d{1,16})\.([a-z]+_[0-9A-Za-z_-]{6,80})$/;

/** Newest first; ties are broken by id, so that a page never repeats or skips an item. */
function newestFirst(a: Position, b: Position): number {
  return b.createdAt - a.createdAt || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}

/**
 * The position after which a page begins; null for the first page.
 *
 * @param isId false for an id of a different kind than the listed items
 * @throws SandboxError `invalid_argument` for a cursor that no page returned
 */
export function parseCursor(
  cursor: string | null,
  isId: (text: string) => boolean = () => true,
): Position | null {
  if (cursor === null) return null;
  const [, createdAt, id] = CURSOR.exec(cursor) ?? [];
  if (createdAt === undefined || id === undefined || !isId(id)) {
    throw new SandboxError('invalid_argument', `${JSON.stringify(cursor.slice(0, 80))} is not a cursor.`, {
      hint: 'Pass the next_cursor of the previous page unchanged, or leave cursor out.',
    });
  }
  return { createdAt: Number(createdAt), id };
}

/** The cursor that continues after this position. */
export function formatCursor({ createdAt, id }: Position): string {
  return `${createdAt}.${id}`;
}

/**
 * Whether the item at this position matches the query, on this page or a later one. @param after the position
 * of the query's cursor
 */
export function matchesQuery(
  { createdAt, id }: Position,
  { since, until }: Pick<Query, 'since' | 'until'>,
  after: Position | null,
): boolean {
  if (createdAt < (since ?? 0) || createdAt > (until ?? Number.POSITIVE_INFINITY)) return false;
  return after === null || newestFirst(after, { createdAt, id }) < 0;
}

/** All matching items, of this page and later ones, in order. @throws as `placeOf` */
export function matchingItems<Item>(
  all: readonly Item[],
  query: Query,
  placeOfItem: (item: Item) => Position,
): { item: Item; place: Position }[] {
  const after = parseCursor(query.cursor);
  return all
    .map((item) => ({ item, place: placeOfItem(item) }))
    .filter(({ place }) => matchesQuery(place, query, after))
    .sort((a, b) => newestFirst(a.place, b.place));
}

/** One page of the given items. @throws as `placeOf` */
export function paginate<Item>(
  all: readonly Item[],
  query: Query,
  placeOfItem: (item: Item) => Position,
): { items: Item[]; nextCursor: string | null } {
  const matching = matchingItems(all, query, placeOfItem);
  const shown = matching.slice(0, query.limit);
  const last = shown.at(-1);
  const more = matching.length > shown.length && last !== undefined;
  return { items: shown.map(({ item }) => item), nextCursor: more ? formatCursor(last.place) : null };
}
