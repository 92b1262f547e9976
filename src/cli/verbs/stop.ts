import type { Session } from '../../registry/types.ts';
import type { Terminal } from '../output/terminal.ts';

/**
 * Stops any sandbox of this user and waits until none of its processes is left. Rejects with `not_found` for
 * an unknown id.
 */
export async function stop(session: Session, sandboxId: string, terminal: Terminal): Promise<number> {
  const handle = await session.sandbox(sandboxId);
  const view = await handle.stop(new AbortController().signal);
  terminal.out(`${view.sandboxId} ${view.status}\n`);
  return 0;
}
