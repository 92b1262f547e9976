import type { ListQuery, Page } from '../../engines/engine.ts';
import { mapConcurrent } from '../../shared/async/map-concurrent.ts';
import { type ErrorCode, SandboxError, throwIfCancelled } from '../../shared/errors.ts';
import { isSandboxId } from '../../shared/ids.ts';
import { formatCursor, matchingItems, parseCursor } from '../../shared/pagination.ts';
import type { RegistryContext } from '../context.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import type { SandboxView } from '../types.ts';
import { isVisible } from './sandbox-lookup.ts';
import { failedView, getSandboxView } from './sandbox-view.ts';

/** Failures of the engine as a whole, which say nothing of a sandbox. */
const OF_THE_ENGINE: readonly ErrorCode[] = ['auth', 'rate_limit', 'timeout', 'unavailable'];

/**
 * The sandboxes of a principal, newest first; the order and the cursor are those of the records, the facts the
 * engine's.
 *
 * @throws SandboxError `invalid_argument` for a cursor that no list answered; what the engine says where it can tell of
 *   no sandbox at present: one that it cannot be asked about has not failed
 */
export async function listSandboxes(
  context: RegistryContext,
  principal: string,
  query: ListQuery,
  signal: AbortSignal,
): Promise<Page<SandboxView>> {
  parseCursor(query.cursor, isSandboxId);
  const own = (await context.store.all()).filter((record) => isVisible(context, principal, record));
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
 * Null where nothing tells of the sandbox any more. One that cannot be read is
 * told as `failed` with the reason: it hides no other.
 *
 * @param fatal failures that are thrown all the same
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
    context.log.error({ sandbox_id: record.sandboxId, err: error }, 'A sandbox cannot be read.');
    return failedView(record, error instanceof SandboxError ? error.message : 'It cannot be read.');
  }
}
