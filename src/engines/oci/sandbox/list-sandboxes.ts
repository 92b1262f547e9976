import { paginate, parseCursor } from '../../../shared/pagination.ts';
import type { ListQuery, Page, Sandbox } from '../../engine.ts';
import type { OciContext } from '../context.ts';
import { isInternal, listSandboxIds } from '../state/sandbox-record.ts';
import { reconcileRecord } from './reconcile.ts';
import { viewOf } from './sandbox-view.ts';

/** One page of the sandboxes of this state directory. */
export async function listSandboxes(context: OciContext, query: ListQuery): Promise<Page<Sandbox>> {
  // Refuse an invalid cursor before reading anything.
  parseCursor(query.cursor);
  const host = await context.host();
  const all: Sandbox[] = [];
  for (const sandboxId of await listSandboxIds(host.layout)) {
    try {
      const record = await reconcileRecord(context, sandboxId);
      if (!isInternal(record)) all.push(viewOf(record, context.forwards));
    } catch (error) {
      // A damaged or just removed sandbox does not hide the others.
      context.log.warn({ sandboxId, err: error }, 'cannot list a sandbox');
    }
  }
  return paginate(all, query, ({ sandboxId, createdAt }) => ({ id: sandboxId, createdAt }));
}
