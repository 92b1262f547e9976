import type { CreateSandbox } from '../../engines/engine.ts';
import { SandboxError, throwIfCancelled } from '../../shared/errors.ts';
import { newSandboxId } from '../../shared/ids.ts';
import type { RegistryContext } from '../context.ts';
import { ownerOf } from '../records/owner.ts';
import { RECORD_VERSION } from '../records/record-format.ts';
import { requestedConfig } from '../records/requested-config.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import { requireOwnedSource } from '../records/snapshot-lookup.ts';
import type { CreateRequest, SandboxView } from '../types.ts';
import { admit } from './admission.ts';
import { resolveRequest } from './resolve-request.ts';
import { markEnded } from './sandbox-end.ts';

const FORGET_MS = 30_000;

/** What the maker of a sandbox tells whoever waits for it. */
export interface CreateHooks {
  /** The intent is on disk: from now on the sandbox can be looked for. */
  onRecorded(record: OwnershipRecord): void;
  /** Called once it is certain to stay. */
  onLive(record: OwnershipRecord): void;
  /** It could not be made. True where nobody will be answered so, and the reason has to be kept. */
  onFailure(): boolean;
  report?: ((line: string) => void) | undefined;
}

/**
 * Makes a sandbox for a session: first the record of the intent, then the sandbox, then the record that it lives. On
 * failure, or when `signal` fires, nothing of it stays but, where it matters, the record of the reason.
 *
 * @throws SandboxError of the plan, the limits or the engine
 */
export async function createSandbox(
  context: RegistryContext,
  session: { sessionId: string; principal: string },
  request: CreateRequest,
  signal: AbortSignal,
  hooks: CreateHooks,
): Promise<SandboxView> {
  const { engine, config, clock } = context;
  await requireOwnedSource(context, session.principal, request.source, signal);
  const limits = await engine.limits(signal);
  // Decided here and not at the session's end, which a crash may leave out.
  const keep = request.keep || config.onDisconnect === 'keep';
  const plan = resolveRequest(newSandboxId(), { ...request, keep }, engine, limits, config.maxLifetimeMs);
  const intent: OwnershipRecord = {
    version: RECORD_VERSION,
    sandboxId: plan.sandboxId,
    engine: engine.name,
    principal: session.principal,
    keep,
    vcpus: plan.vcpus,
    createdAt: clock.now(),
    state: 'creating',
    endedAt: null,
    owner: ownerOf(session.sessionId),
    requested: requestedConfig(plan, limits),
  };
  await admit(context, intent, signal);
  hooks.onRecorded(intent);
  try {
    return await makeLive(context, plan, intent, signal, hooks);
  } catch (error) {
    const kept = hooks.onFailure() && !signal.aborted;
    if (!kept) await undo(context, intent, null);
    else if (!(await wasStopped(context, intent))) await undo(context, intent, reasonOf(error));
    throw kept ? withId(error, plan.sandboxId) : error;
  }
}

async function makeLive(
  context: RegistryContext,
  plan: CreateSandbox,
  intent: OwnershipRecord,
  signal: AbortSignal,
  hooks: CreateHooks,
): Promise<SandboxView> {
  let sandbox = await context.engine.create(plan, signal, hooks.report);
  if (sandbox.ports.some((port) => port.url === null) && context.engine.ports !== undefined) {
    await context.engine.ports.open(plan.sandboxId, signal);
    sandbox = await context.engine.get(plan.sandboxId, signal);
  }
  const record: OwnershipRecord = { ...intent, state: 'live', createdAt: sandbox.createdAt };
  await context.store.write(record);
  // No await between these two lines: a session ending now must either abort the create or see the sandbox as owned.
  throwIfCancelled(signal);
  hooks.onLive(record);
  return { ...sandbox, keep: record.keep };
}

/** True, and noted, where somebody stopped the sandbox on purpose while it was made: it did not fail. */
async function wasStopped(context: RegistryContext, { sandboxId }: OwnershipRecord): Promise<boolean> {
  try {
    const sandbox = await context.engine.get(sandboxId, AbortSignal.timeout(FORGET_MS));
    if (sandbox.stopCause !== 'requested' && sandbox.stopCause !== 'session_end') return false;
    return (await markEnded(context, sandboxId, sandbox)) !== null;
  } catch {
    // Nothing of it is there, or nothing that can be told: it counts as failed, and `undo` sees to the rest.
    return false;
  }
}

/**
 * Never rejects. What cannot be removed now is left without an owner: the next recovery's work.
 *
 * @param failure why it could not be made, where that is to be told later; null removes the record as well
 */
async function undo(
  context: RegistryContext,
  intent: OwnershipRecord,
  failure: string | null,
): Promise<void> {
  const { engine, store, log, clock } = context;
  const { sandboxId } = intent;
  try {
    // Not the caller's signal: it may be what ended the create.
    await engine.forget(sandboxId, AbortSignal.timeout(FORGET_MS));
    if (failure === null) await store.remove(sandboxId);
    else await store.write({ ...intent, state: 'ended', endedAt: clock.now(), owner: null, failure });
  } catch (error) {
    log.error({ sandbox_id: sandboxId, err: error }, 'A failed create could not be undone yet.');
    try {
      await store.update(sandboxId, (record) => ({ ...record, state: 'creating', owner: null }));
    } catch (second) {
      log.error({ sandbox_id: sandboxId, err: second }, 'Its record could not be changed.');
    }
  }
}

/** The same error with the id under which it can be looked up later. */
function withId(error: unknown, sandboxId: string): unknown {
  if (!(error instanceof SandboxError)) return error;
  const { code, message, hint, details } = error;
  return new SandboxError(code, message, {
    hint,
    details: { ...details, sandbox_id: sandboxId },
    cause: error,
  });
}

/** An error that nobody foresaw may name paths of this host: it is the log's alone. */
function reasonOf(error: unknown): string {
  return error instanceof SandboxError
    ? `${error.message} ${error.hint}`
    : 'An unexpected error; the server log has it.';
}
