import { mapConcurrent } from '../../../shared/async/map-concurrent.ts';
import { SandboxError } from '../../../shared/errors.ts';
import { isSandboxId } from '../../../shared/ids.ts';
import { type Position, paginate, parseCursor } from '../../../shared/pagination.ts';
import type { ListQuery, Page, Sandbox } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { fromPlatform } from '../http/api-errors.ts';
import { BATCH, gather, spanOf } from '../http/pagination.ts';
import { listRecordIds, readRecord } from '../state/sandbox-record.ts';
import { getSandbox } from './get-sandbox.ts';

const MAX_CONCURRENT_GETS = 8;

/**
 * One page of the sandboxes of this project that such a server created, including those it still has records
 * of.
 */
export async function listSandboxes(
  context: VercelContext,
  query: ListQuery,
  signal: AbortSignal,
): Promise<Page<Sandbox>> {
  parseCursor(query.cursor);
  const places = new Map<string, Position>();
  const own = (place: Position) => place;
  for (const place of await remembered(context)) places.set(place.id, place);
  const { items: present } = await gather(query, own, (cursor) => readPage(context, cursor, signal));
  for (const place of present) places.set(place.id, place);
  const page = paginate([...places.values()], query, own);
  const views = await mapConcurrent(page.items, MAX_CONCURRENT_GETS, ({ id }) =>
    getIfPresent(context, id, signal),
  );
  return { items: views.filter((view) => view !== null), nextCursor: page.nextCursor };
}

async function readPage(context: VercelContext, cursor: string | null, signal: AbortSignal) {
  try {
    const { sandboxes, pagination } = await context.cloud.list(BATCH, cursor, signal);
    const items = sandboxes
      .filter(({ name }) => isSandboxId(name))
      .map(({ name, createdAt }) => ({ id: name, createdAt }));
    return { items, span: spanOf(sandboxes), next: pagination.next };
  } catch (error) {
    throw fromPlatform(error, { doing: 'list sandboxes' }, signal);
  }
}

async function remembered(context: VercelContext): Promise<Position[]> {
  const places: Position[] = [];
  for (const id of await listRecordIds(context.layout)) {
    try {
      const record = await readRecord(context.layout, id);
      if (record?.lastSeen != null) places.push({ id, createdAt: record.lastSeen.createdAt });
    } catch (error) {
      context.log.warn({ sandbox_id: id, err: error }, 'cannot read a record');
    }
  }
  return places;
}

/** Null for one that was removed meanwhile. */
async function getIfPresent(
  context: VercelContext,
  id: string,
  signal: AbortSignal,
): Promise<Sandbox | null> {
  try {
    return await getSandbox(context, id, signal);
  } catch (error) {
    if (error instanceof SandboxError && error.code === 'not_found') return null;
    throw error;
  }
}
