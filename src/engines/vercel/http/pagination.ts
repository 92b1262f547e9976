import { SandboxError } from '../../../shared/errors.ts';
import { matchesQuery, type Position, paginate, parseCursor } from '../../../shared/pagination.ts';
import type { ListQuery, Page } from '../../engine.ts';

/** Maximum number of lists with marks, over all callers; losing a mark only costs requests. */
const MAX_MARKS = 200;
/** Items requested from the platform at a time. */
export const BATCH = 50;

/** A page of the platform. */
export interface PlatformPage<Item> {
  /** Its entries that belong to this server's sandboxes. */
  readonly items: Item[];
  /** Creation times of its first and last entry, including foreign ones: epoch ms; null for an empty page. */
  readonly span: { readonly newest: number; readonly oldest: number } | null;
  /** The cursor of the next page; null after the last one. */
  readonly next: string | null;
}

/** @param entries of a page, newest first */
export function spanOf(entries: readonly { createdAt: number }[]): PlatformPage<never>['span'] {
  const [first, last] = [entries[0], entries.at(-1)];
  return first === undefined || last === undefined
    ? null
    : { newest: first.createdAt, oldest: last.createdAt };
}

type Read<Item> = (cursor: string | null) => Promise<PlatformPage<Item>>;

/**
 * Where the platform's pages start that contain the ends of our own: continuing there skips all newer
 * entries.
 */
export class PageMarks {
  readonly #byCursor = new Map<string, string>();

  of(cursor: string | null): string | null {
    return cursor === null ? null : (this.#byCursor.get(cursor) ?? null);
  }

  set(cursor: string, platformCursor: string): void {
    const [oldest] = this.#byCursor.keys();
    if (this.#byCursor.size >= MAX_MARKS && oldest !== undefined) this.#byCursor.delete(oldest);
    this.#byCursor.set(cursor, platformCursor);
  }
}

/** One page of the platform's entries, whose own pages are newest first and cannot be limited by time. */
export async function pageFrom<Item>(
  query: ListQuery,
  placeOfItem: (item: Item) => Position,
  read: Read<Item>,
  marks: PageMarks,
): Promise<Page<Item>> {
  const { items, begins } = await gather(query, placeOfItem, read, marks.of(query.cursor));
  const page = paginate(items, query, placeOfItem);
  const last = page.items.at(-1);
  const mark = last === undefined ? undefined : begins.get(placeOfItem(last).id);
  if (page.nextCursor !== null && mark !== undefined) marks.set(page.nextCursor, mark);
  return page;
}

/**
 * Reads pages of the platform until they certainly contain the requested entries.
 *
 * @param mark the page to start with, if known; ignored if that would miss entries before it
 * @throws SandboxError `server` if the pages do not end; what `read` throws
 */
export async function gather<Item>(
  query: ListQuery,
  placeOfItem: (item: Item) => Position,
  read: Read<Item>,
  mark: string | null = null,
): Promise<{ items: Item[]; begins: Map<string, string> }> {
  const after = parseCursor(query.cursor);
  const items: Item[] = [];
  /** The start of each item's page; items of the first page are omitted. */
  const begins = new Map<string, string>();
  const seen = new Set<string>();
  let { cursor, page } = await begin(read, mark, after);
  for (;;) {
    for (const item of page.items) {
      const place = placeOfItem(item);
      if (!matchesQuery(place, query, after)) continue;
      items.push(item);
      if (cursor !== null) begins.set(place.id, cursor);
    }
    if (page.next === null || isEnough(page, items[query.limit], query, placeOfItem)) break;
    cursor = page.next;
    if (seen.has(cursor)) throw endless();
    seen.add(cursor);
    page = await read(cursor);
  }
  return { items, begins };
}

/** The first page to read: the marked one, unless it is rejected or entries have moved past its start. */
async function begin<Item>(read: Read<Item>, mark: string | null, after: Position | null) {
  if (mark !== null && after !== null) {
    try {
      const page = await read(mark);
      // An entry of the same millisecond may be on the previous page.
      if (page.span !== null && page.span.newest > after.createdAt) return { cursor: mark, page };
    } catch (error) {
      if (!(error instanceof SandboxError) || error.code !== 'invalid_argument') throw error;
    }
  }
  const cursor: string | null = null;
  return { cursor, page: await read(cursor) };
}

/** @param beyond the first item that does not fit into the requested page */
function isEnough<Item>(
  { span }: PlatformPage<Item>,
  beyond: Item | undefined,
  { since }: ListQuery,
  placeOfItem: (item: Item) => Position,
): boolean {
  if (span === null) return false;
  if (since !== null && span.oldest < since) return true;
  // An entry of the same millisecond may be on the next page.
  return beyond !== undefined && span.oldest < placeOfItem(beyond).createdAt;
}

function endless(): SandboxError {
  return new SandboxError('server', "Vercel's list restarts from the beginning instead of continuing.", {
    hint: 'Call again, with since and until to read fewer pages.',
  });
}
