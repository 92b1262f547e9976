/** Continues on this replica what a session had on another one. */
import { mapConcurrent } from '../../shared/async/map-concurrent.ts';
import type { RegistryContext } from '../context.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import { finishCreate } from '../sandboxes/finish-create.ts';
import { hasEnded } from '../sandboxes/sandbox-end.ts';
import type { TaskScope } from '../sandboxes/task-scope.ts';
import type { SessionCommands } from './session-commands.ts';
import type { SessionSandboxes } from './session-sandboxes.ts';

const AT_A_TIME = 4;

interface Parts {
  readonly commands: SessionCommands;
  readonly sandboxes: SessionSandboxes;
}

/**
 * Takes over the leases of the session's sandboxes. What takes longer continues in the background until the
 * session ends: its running commands are watched again, and its unfinished creates completed.
 */
export async function resumeSession(
  context: RegistryContext,
  sessionId: string,
  scope: TaskScope,
  parts: Parts,
): Promise<void> {
  const { log } = context;
  const records = (await context.store.unfinished()).filter(
    (record) => record.owner?.sessionId === sessionId,
  );
  const signal = new AbortController().signal;
  await mapConcurrent(records, AT_A_TIME, async (record) => {
    parts.sandboxes.restore(record);
    if (record.state === 'live' && !record.keep)
      await context.engine.ownership?.take(record.sandboxId, signal).catch((error: unknown) => {
        log.warn({ sandbox_id: record.sandboxId, err: error }, 'Could not take over the lease of a sandbox.');
      });
  });
  void scope
    .run(signal, (either) =>
      mapConcurrent(records, AT_A_TIME, (record) => continueSandbox(context, record, parts, either)),
    )
    .catch((error: unknown) => log.debug({ err: error }, 'A session ended while it was taken over.'));
}

async function continueSandbox(
  context: RegistryContext,
  record: OwnershipRecord,
  { commands, sandboxes }: Parts,
  signal: AbortSignal,
): Promise<void> {
  const { engine, log } = context;
  const { sandboxId } = record;
  try {
    if (record.state === 'creating') {
      const live = await finishCreate(context, record, signal);
      if (live !== null) sandboxes.restore(live);
      return;
    }
    const sandbox = await engine.get(sandboxId, signal);
    if (hasEnded(sandbox)) return;
    for (const command of await engine.commands.list(sandboxId, signal))
      if (command.status === 'running') commands.resume(sandbox, command);
  } catch (error) {
    if (!signal.aborted)
      log.warn({ sandbox_id: sandboxId, err: error }, 'Could not take over everything in a sandbox.');
  }
}
