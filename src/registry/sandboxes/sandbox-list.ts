import type { ListQuery, Page } from '../../engines/engine.ts';
import { mapConcurrent } from '../../shared/async/map-concurrent.ts';
import { type ErrorCode, SandboxError, throwIfCancelled } from '../../shared/errors.ts';
import { isSandboxId } from '../../shared/ids.ts';
import { formatCursor, matchingItems, parseCursor } from '../../shared/pagination.ts';
import type { RegistryContext } from '../context.ts';
import { isOwn } from '../records/is-own.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import type { SandboxView } from '../types.ts';
import { failedView, getSandboxView } from './sandbox-view.ts';

/** Failures of the engine as a whole, unrelated to any one sandbox. */
const OF_THE_ENGINE: readonly ErrorCode[] = ['auth', 'rate_limit', 'timeout', 'unavailable'];

/**
 * The sandboxes of a principal, newest first. Order and cursor come from the records, the state from the
 * engine.
 *
 * @throws SandboxError `invalid_argument` for a cursor that no list returned; the engine's error if it cannot
 *   report on any sandbox at present, since an unreachable sandbox has not failed
 */
export async function listSandboxes(
  context: RegistryContext,
  principal: string,
  query: ListQuery,
  signal: AbortSignal,
): Promise<Page<SandboxView>> {
  parseCursor(query.cursor, isSandboxId);
  const own = (await context.store.all()).filter((record) => isOwn(context, principal, record));
  const records = matchingItems(own, query, ({ createdAt, sandboxId }) => ({ createdAt, id: sandboxId }));
  const items: SandboxView[] = [];
  let used = 0;
  while (items.length < query.limit && used < records.length) {
    throwIfCancelled(signal);
    const batch = records.slice(used, used + query.limit - items.length);
    used += batch.length;
    const views = await mapConcurrent(batch, 8, ({ item }) =>
      viewIfKnown(context, item, signal, OF_THE_ENGINE),
    );
    items.push(...views.filter((view) => view !== null));
  }
  const last = records[used - 1];
  const more = used < records.length && last !== undefined;
  return { items, nextCursor: more ? formatCursor(last.place) : null };
}

/**
 * Null if neither the engine nor a record knows the sandbox any more. A sandbox that cannot be read is listed
 * as `failed` with the reason, so that it does not hide the others.
 *
 * @param fatal errors that are thrown nevertheless
 */
export async function viewIfKnown(
  context: RegistryContext,
  record: OwnershipRecord,
  signal: AbortSignal,
  fatal: readonly ErrorCode[] = [],
): Promise<SandboxView | null> {
  try {
    return await getSandboxView(context, record, signal);
  } catch (error) {
    throwIfCancelled(signal);
    if (error instanceof SandboxError && error.code === 'not_found') return null;
    if (error instanceof SandboxError && fatal.includes(error.code)) throw error;
    context.log.error(
      { sandbox_id: record.sandboxId, err: error },
      'The record of a sandbox cannot be read.',
    );
    return failedView(record, error instanceof SandboxError ? error.message : 'Its record cannot be read.');
  }
}
