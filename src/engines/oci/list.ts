import { SandboxError } from '../../shared/errors.ts';
import type { ListQuery, Page, Sandbox } from '../engine.ts';
import type { OciContext } from './context.ts';
import { listSandboxIds } from './sandbox-record.ts';
import { viewOf } from './sandbox-view.ts';
import { settledRecord } from './settle.ts';

const CURSOR = /^(\d{1,16})\.(sbx_[2-9a-z]{12})$/;

/** Newest first; the id decides between equals, so that a page never repeats or skips one. */
function newestFirst(a: Sandbox, b: Sandbox): number {
  return b.createdAt - a.createdAt || (a.sandboxId < b.sandboxId ? 1 : -1);
}

function afterCursor(cursor: string | null): (sandbox: Sandbox) => boolean {
  if (cursor === null) return () => true;
  const match = CURSOR.exec(cursor);
  if (match === null) {
    throw new SandboxError('invalid_argument', `"${cursor.slice(0, 64)}" is not a cursor.`, {
      hint: 'Pass next_cursor of the page before, unchanged, or leave cursor out.',
    });
  }
  const createdAt = Number(match[1]);
  const sandboxId = match[2] ?? '';
  return (sandbox) =>
    sandbox.createdAt < createdAt || (sandbox.createdAt === createdAt && sandbox.sandboxId < sandboxId);
}

/** One page of the sandboxes of this state directory. */
export async function listSandboxes(context: OciContext, query: ListQuery): Promise<Page<Sandbox>> {
  const follows = afterCursor(query.cursor);
  const host = await context.host();
  const all: Sandbox[] = [];
  for (const sandboxId of await listSandboxIds(host.layout)) {
    try {
      const sandbox = viewOf(await settledRecord(context, sandboxId), context.forwards);
      if (
        sandbox.createdAt >= (query.since ?? 0) &&
        sandbox.createdAt <= (query.until ?? Number.MAX_SAFE_INTEGER)
      ) {
        all.push(sandbox);
      }
    } catch (error) {
      // One that is damaged or was just forgotten does not hide the others.
      context.log.warn({ sandboxId, err: error }, 'a sandbox could not be listed');
    }
  }
  const page = all.sort(newestFirst).filter(follows);
  const items = page.slice(0, query.limit);
  const last = items.at(-1);
  const more = page.length > items.length && last !== undefined;
  return { items, nextCursor: more ? `${last.createdAt}.${last.sandboxId}` : null };
}
