import type { Session } from '../../registry/types.ts';
import type { Terminal } from '../output/terminal.ts';

/** Stops a sandbox, whoever made it, and waits until nothing of it runs. Rejects with `not_found` for an unknown id. */
export async function stop(session: Session, sandboxId: string, terminal: Terminal): Promise<number> {
  const handle = await session.sandbox(sandboxId);
  const view = await handle.stop(new AbortController().signal);
  terminal.out(`${view.sandboxId} ${view.status}\n`);
  return 0;
}
