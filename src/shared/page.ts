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

/** A query whose cursor is read. */
export interface Asked extends Omit<Query, 'cursor'> {
  /** What is told begins after this place. */
  readonly after: Place | null;
}

const CURSOR = /^(\d{1,16})\.(.+)$/;

/** Newest first; the id decides between equals, so that a page never repeats or skips one. */
function newestFirst(a: Place, b: Place): number {
  return b.createdAt - a.createdAt || (a.id < b.id ? 1 : a.id > b.id ? -1 : 0);
}

/**
 * @param isId whether a text is an id of what is listed
 * @throws SandboxError `invalid_argument` for a cursor that no page answered
 */
export function readQuery({ cursor, ...rest }: Query, isId: (text: string) => boolean): Asked {
  if (cursor === null) return { ...rest, after: null };
  const [, createdAt, id] = CURSOR.exec(cursor) ?? [];
  if (createdAt !== undefined && id !== undefined && isId(id)) {
    return { ...rest, after: { createdAt: Number(createdAt), id } };
  }
  throw new SandboxError('invalid_argument', `${JSON.stringify(cursor.slice(0, 80))} is not a cursor.`, {
    hint: 'Pass next_cursor of the page before, unchanged, or leave cursor out.',
  });
}

/** The cursor that goes on after this place. */
export function cursorOf({ createdAt, id }: Place): string {
  return `${createdAt}.${id}`;
}

/** Whether what has this place is asked for, on this page or a later one. */
export function isAsked(place: Place, { since, until, after }: Asked): boolean {
  if (place.createdAt < (since ?? 0) || place.createdAt > (until ?? Number.POSITIVE_INFINITY)) return false;
  return after === null || newestFirst(after, place) < 0;
}

/** All that is asked for, on this page and on later ones, in order. */
export function allAsked<Item>(
  all: readonly Item[],
  asked: Asked,
  placeOf: (item: Item) => Place,
): { item: Item; place: Place }[] {
  return all
    .map((item) => ({ item, place: placeOf(item) }))
    .filter(({ place }) => isAsked(place, asked))
    .sort((a, b) => newestFirst(a.place, b.place));
}

/** One page of all that there is. */
export function pageOf<Item>(
  all: readonly Item[],
  asked: Asked,
  placeOf: (item: Item) => Place,
): { items: Item[]; nextCursor: string | null } {
  const wanted = allAsked(all, asked, placeOf);
  const shown = wanted.slice(0, asked.limit);
  const last = shown.at(-1);
  const more = wanted.length > shown.length && last !== undefined;
  return { items: shown.map(({ item }) => item), nextCursor: more ? cursorOf(last.place) : null };
}
