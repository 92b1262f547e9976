/** Pages of things that are told newest first. */
import { SandboxError } from './errors.ts';

/** Where a thing stands in its list; a cursor is the place of the last one that was told. */
export interface Place {
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

/** Newest first; the id decides between equals, so that a page never repeats or skips one. */
function newestFirst(a: Place, b: Place): number {
  return b.createdAt - a.createdAt || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}

/**
 * The place after which a page begins; null for the first page.
 *
 * @param isId false for an id of something else than what is listed
 * @throws SandboxError `invalid_argument` for a cursor that no page answered
 */
export function placeOf(cursor: string | null, isId: (text: string) => boolean = () => true): Place | null {
  if (cursor === null) return null;
  const [, createdAt, id] = CURSOR.exec(cursor) ?? [];
  if (createdAt === undefined || id === undefined || !isId(id)) {
    throw new SandboxError('invalid_argument', `${JSON.stringify(cursor.slice(0, 80))} is not a cursor.`, {
      hint: 'Pass next_cursor of the page before, unchanged, or leave cursor out.',
    });
  }
  return { createdAt: Number(createdAt), id };
}

/** The cursor that goes on after this place. */
export function cursorOf({ createdAt, id }: Place): string {
  return `${createdAt}.${id}`;
}

/** Whether what has this place is asked for, on this page or a later one. @param after the place of the query's cursor */
export function isAsked(
  { createdAt, id }: Place,
  { since, until }: Pick<Query, 'since' | 'until'>,
  after: Place | null,
): boolean {
  if (createdAt < (since ?? 0) || createdAt > (until ?? Number.POSITIVE_INFINITY)) return false;
  return after === null || newestFirst(after, { createdAt, id }) < 0;
}

/** All that is asked for, on this page and on later ones, in order. @throws as `placeOf` */
export function allAsked<Item>(
  all: readonly Item[],
  query: Query,
  placeOfItem: (item: Item) => Place,
): { item: Item; place: Place }[] {
  const after = placeOf(query.cursor);
  return all
    .map((item) => ({ item, place: placeOfItem(item) }))
    .filter(({ place }) => isAsked(place, query, after))
    .sort((a, b) => newestFirst(a.place, b.place));
}

/** One page of all that there is. @throws as `placeOf` */
export function pageOf<Item>(
  all: readonly Item[],
  query: Query,
  placeOfItem: (item: Item) => Place,
): { items: Item[]; nextCursor: string | null } {
  const asked = allAsked(all, query, placeOfItem);
  const shown = asked.slice(0, query.limit);
  const last = shown.at(-1);
  const more = asked.length > shown.length && last !== undefined;
  return { items: shown.map(({ item }) => item), nextCursor: more ? cursorOf(last.place) : null };
}
