import type { Command, Engine, Listener, NetworkActivity } from '../../engines/engine.ts';
import { mapConcurrent } from '../../shared/async/map-concurrent.ts';
import { withTimeout } from '../../shared/async/with-timeout.ts';
import { SandboxError, throwIfCancelled } from '../../shared/errors.ts';
import type { RegistryContext } from '../context.ts';
import { snapshotNames } from '../records/named-snapshots.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import { hasEnded } from '../sandboxes/sandbox-end.ts';
import { viewIfKnown } from '../sandboxes/sandbox-list.ts';
import type { SessionInfo, SessionLimits, ShellInfo } from '../types.ts';
import { capabilitiesOf } from './capabilities.ts';

/** What a session reports about itself. */
export interface SessionState {
  sessionId: string;
  principal: string;
  currentSandboxId: string | null;
  sandboxes: { record: OwnershipRecord; ownership: 'owned' | 'attached' }[];
  commandIds: string[];
  shells: ShellInfo[];
  limits: SessionLimits;
}

/**
 * The current state of the session's live sandboxes and running commands. The current sandbox is included
 * even if it has ended.
 */
export async function describeSession(
  context: RegistryContext,
  state: SessionState,
  signal: AbortSignal,
): Promise<SessionInfo> {
  const { engine } = context;
  // Nothing here waits for anything else: under load, each step in a row costs a turn of a slow event loop.
  const [views, commands, runtimes, names, engineLimits] = await Promise.all([
    mapConcurrent(state.sandboxes, 8, (sandbox) => describeSandbox(context, sandbox, signal)),
    mapConcurrent(state.commandIds, 8, (id) => commandIfKnown(engine, id, signal)),
    engine.runtimes(signal),
    snapshotNames(context, state.principal),
    engine.limits(signal),
  ]);
  return {
    sessionId: state.sessionId,
    engine: engine.name,
    currentSandboxId: state.currentSandboxId,
    sandboxes: views
      .filter((view) => view !== null)
      .filter(
        (view) => !hasEnded(view) || view.status === 'failed' || view.sandboxId === state.currentSandboxId,
      ),
    commands: commands.filter((command) => command !== null).filter(({ status }) => status === 'running'),
    shells: state.shells,
    limits: state.limits,
    engineLimits,
    runtimes: { ...runtimes, installed: [...names, ...runtimes.installed] },
    capabilities: capabilitiesOf(engine),
  };
}

/** Null for a sandbox that neither the engine nor a record knows any more. */
async function describeSandbox(
  context: RegistryContext,
  { record, ownership }: SessionState['sandboxes'][number],
  signal: AbortSignal,
): Promise<SessionInfo['sandboxes'][number] | null> {
  const [view, listening] = await Promise.all([
    viewIfKnown(context, record, signal),
    record.state === 'ended' ? null : listenersOf(context, record.sandboxId, signal),
  ]);
  if (view === null) return null;
  const network = await activityOf(context.engine, view.sandboxId);
  return { ...view, ownership, network, listening: view.status === 'running' ? listening : null };
}

async function activityOf({ networkPolicies }: Engine, sandboxId: string): Promise<NetworkActivity | null> {
  return (await networkPolicies?.activity?.(sandboxId)) ?? null;
}

/** Null if the sandbox does not answer in time: it must not delay what is known without it. */
async function listenersOf(
  { engine, log }: RegistryContext,
  sandboxId: string,
  signal: AbortSignal,
): Promise<Listener[] | null> {
  if (engine.ports === undefined) return null;
  const { ports } = engine;
  try {
    return await withTimeout(ports.listenersMs, signal, (limited) => ports.listeners(sandboxId, limited));
  } catch (error) {
    throwIfCancelled(signal);
    log.debug({ sandbox_id: sandboxId, err: error }, 'cannot read the listening ports');
    return null;
  }
}

async function commandIfKnown(
  engine: Engine,
  commandId: string,
  signal: AbortSignal,
): Promise<Command | null> {
  try {
    return await engine.commands.get(commandId, signal);
  } catch (error) {
    if (error instanceof SandboxError && error.code === 'not_found') return null;
    throw error;
  }
}
