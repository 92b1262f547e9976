import { completesWithin } from '../../shared/clock.ts';
import { SandboxError } from '../../shared/errors.ts';
import type { RegistryContext } from '../context.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import { markEnded } from '../sandboxes/sandbox-end.ts';
import type { TaskScope } from '../sandboxes/task-scope.ts';
import type { SessionCommands } from './session-commands.ts';
import type { SessionShells } from './session-shells.ts';

/** Their sum is below the 2 s that a client or an init gives a server between SIGTERM and SIGKILL. */
const STOP_MS = 1_400;
const GIVE_UP_MS = 100;

/** What a session holds when it ends. */
export interface SessionResources {
  /**
   * Records of the live sandboxes that the session created. A create that finishes while the session ends
   * adds to them.
   */
  owned(): OwnershipRecord[];
  scope: TaskScope;
  commands: SessionCommands;
  shells: SessionShells;
}

/**
 * Aborts running creates, ends shells and awaited commands, stops the session's sandboxes except kept ones
 * and those that another server owns too, and releases all of them. Takes at most 1.5 s and never rejects: a
 * recovery that outlives this process does the rest. For engines whose sandboxes end with their owners, only
 * files then remain to be removed.
 */
export async function releaseSession(context: RegistryContext, resources: SessionResources): Promise<void> {
  const { clock, log } = context;
  const giveUp = new AbortController();
  const unfinished = new Set<string>();
  const release = async ({ sandboxId, keep }: OwnershipRecord): Promise<void> => {
    if (keep) return releaseOwnership(context, sandboxId);
    unfinished.add(sandboxId);
    if (await stopOwned(context, sandboxId, giveUp.signal)) unfinished.delete(sandboxId);
  };
  const owned = resources.owned();
  const known = new Set(owned.map(({ sandboxId }) => sandboxId));
  const stopping = new Set(owned.filter(({ keep }) => !keep).map(({ sandboxId }) => sandboxId));
  const closed = resources.scope.close().then(async () => {
    const late = resources.owned().filter(({ sandboxId }) => !known.has(sandboxId));
    await Promise.all(late.map(release));
  });
  const work: Promise<unknown>[] = [closed, resources.shells.close(), ...owned.map(release)];
  for (const { commandId, sandboxId } of resources.commands.awaited()) {
    // Stopping a sandbox kills its commands.
    if (!stopping.has(sandboxId)) work.push(killAwaitedCommand(context, commandId, giveUp.signal));
  }

  const inTime = await completesWithin(clock, STOP_MS, Promise.all(work));
  giveUp.abort();
  resources.commands.close();
  if (!inTime || unfinished.size > 0) {
    log.warn(
      { sandbox_ids: [...unfinished] },
      'The session ended before its sandboxes were removed; leaving them to recovery, which starts now.',
    );
  }
  for (const sandboxId of unfinished) context.engine.ownership?.giveUp(sandboxId);
  const disowned = Promise.all([...unfinished].map((sandboxId) => releaseOwnership(context, sandboxId)));
  await completesWithin(clock, GIVE_UP_MS, disowned);
  // A create that is still being undone has no sandbox in the list, but leaves files when this process exits.
  if (!inTime || unfinished.size > 0) context.finishLater();
}

/**
 * Never rejects. False if something of the sandbox is left. A sandbox that another server owns too is left to
 * that server.
 */
async function stopOwned(context: RegistryContext, sandboxId: string, signal: AbortSignal): Promise<boolean> {
  try {
    const record = await context.store.read(sandboxId);
    if (record !== null && context.owners.hasLivingCoOwner(record)) {
      await releaseOwnership(context, sandboxId);
      context.engine.ownership?.giveUp(sandboxId);
      return true;
    }
    const sandbox = await context.engine.stop(sandboxId, 'session_end', signal);
    await markEnded(context, sandboxId, sandbox);
    return true;
  } catch (error) {
    if (error instanceof SandboxError && error.code === 'not_found') return true;
    if (error instanceof SandboxError && error.code === 'server')
      return removeDamaged(context, sandboxId, error);
    context.log.warn({ sandbox_id: sandboxId, err: error }, 'Could not stop a sandbox at session end.');
    return false;
  }
}

/** Never rejects. Without its record a sandbox can neither be stopped cleanly nor be used again. */
async function removeDamaged(
  context: RegistryContext,
  sandboxId: string,
  cause: SandboxError,
): Promise<boolean> {
  try {
    context.log.error({ sandbox_id: sandboxId, err: cause }, 'Removing a sandbox with a damaged record.');
    await context.engine.forget(sandboxId, new AbortController().signal);
    await context.store.remove(sandboxId);
    return true;
  } catch (error) {
    context.log.error(
      { sandbox_id: sandboxId, err: error },
      'Could not remove a sandbox with a damaged record.',
    );
    return false;
  }
}

/** Never rejects. */
async function killAwaitedCommand(
  context: RegistryContext,
  commandId: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await context.engine.commands.kill(commandId, 'SIGKILL', 'session_end', signal);
  } catch (error) {
    context.log.warn({ command_id: commandId, err: error }, 'Could not kill a command at session end.');
  }
}

/**
 * Never rejects. Without an owner a kept sandbox runs to its deadline, and the next recovery stops any other,
 * even while this process serves other sessions.
 */
async function releaseOwnership(context: RegistryContext, sandboxId: string): Promise<void> {
  try {
    await context.store.update(sandboxId, (record) => ({ ...record, owner: null }));
  } catch (error) {
    context.log.warn({ sandbox_id: sandboxId, err: error }, 'Could not release a sandbox.');
  }
}
