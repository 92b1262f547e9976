import type { CreateSandbox, Sandbox } from '../../engines/engine.ts';
import { traced } from '../../shared/async/traced.ts';
import { SandboxError, throwIfCancelled } from '../../shared/errors.ts';
import { namedSandboxId, newSandboxId } from '../../shared/ids.ts';
import { SessionEnded, SessionMoved } from '../../shared/session-ended.ts';
import type { RegistryContext } from '../context.ts';
import { findNamedSnapshot } from '../records/named-snapshots.ts';
import { ownerOf } from '../records/owner.ts';
import { RECORD_VERSION } from '../records/record-format.ts';
import { requestedConfig } from '../records/requested-config.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import { requireOwnedSource } from '../records/snapshot-lookup.ts';
import type { CreateRequest, SandboxView } from '../types.ts';
import { admit } from './admission.ts';
import { restartDeadline } from './deadline.ts';
import { Leases } from './keep-alive.ts';
import { resolveRequest } from './resolve-request.ts';
import { markEnded } from './sandbox-end.ts';
import { withOwnership } from './sandbox-view.ts';

const FORGET_MS = 30_000;

/** Callbacks about the progress of a create. */
export interface CreateHooks {
  /** The record is on disk in state `creating`: the sandbox can be found by its id. */
  onRecorded(record: OwnershipRecord): void;
  /** The record says `live`: the sandbox belongs to its session. */
  onLive(record: OwnershipRecord): void;
  /**
   * The create failed. Returns true if no caller will get the error, so that the record has to keep the
   * reason.
   */
  onFailure(): boolean;
  report?: ((line: string) => void) | undefined;
}

/**
 * Creates a sandbox for a session: writes a record in state `creating`, creates the sandbox, then sets the
 * record to `live`. On failure, or when `signal` aborts, everything is removed, except a record of the reason
 * if `onFailure` asks.
 *
 * @throws SandboxError of the plan, the limits or the engine
 */
export async function createSandbox(
  context: RegistryContext,
  session: { sessionId: string; principal: string },
  given: CreateRequest,
  signal: AbortSignal,
  hooks: CreateHooks,
): Promise<SandboxView> {
  const { engine, config, clock, store } = context;
  const request = await resolveNamedSnapshot(context, session.principal, given);
  await requireOwnedSource(context, session.principal, request.source, signal);
  const limits = await engine.limits(signal);
  // Decided here and not at the session's end, which a crash may leave out.
  const keep = request.keep || config.onDisconnect === 'keep';
  const volumeMounts = request.volumes?.map((volume) => ({ ...volume, owner: session.principal }));
  const resolved = {
    // The request's own `keep`: a named sandbox needs somebody who looks after it.
    ...resolveRequest(request, engine, limits, config.maxLifetimeMs),
    keep,
    ...(volumeMounts && { volumeMounts }),
  };
  const { name } = request;
  const stocked = name === undefined ? (engine.stock?.reserve(resolved) ?? null) : null;
  const id = stocked ?? (name === undefined ? newSandboxId() : namedSandboxId(session.principal, name));
  if (name !== undefined && (await store.read(id)) !== null) throw nameIsTaken(name, id);
  const plan = { sandboxId: id, ...resolved };
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
    ...(plan.persistent !== undefined && { persistent: true }),
  };
  try {
    await traced('registry', 'admission, ownership recorded', () => admit(context, intent, signal));
  } catch (error) {
    // A named sandbox may be another one's, which was admitted at the same time.
    if (name === undefined) await undoAdmission(context, intent, stocked);
    throw error;
  }
  hooks.onRecorded(intent);
  try {
    return await makeLive(context, plan, intent, signal, hooks);
  } catch (error) {
    // Another replica completes it, or has done so already.
    if (signal.reason instanceof SessionMoved) throw error;
    if (isNameTaken(error)) {
      // The sandbox with that id is a different one and must not be removed.
      await store.remove(plan.sandboxId);
      throw error;
    }
    const kept = hooks.onFailure() && !signal.aborted;
    if (!kept) await undoCreate(context, intent, null);
    else if (!(await wasStopped(context, intent))) await undoCreate(context, intent, reasonOf(error));
    throw kept ? withId(error, plan.sandboxId) : error;
  }
}

/**
 * The request with a snapshot as its source if `runtime` is the name of one.
 *
 * @throws `invalid_argument` if it has another source too
 */
async function resolveNamedSnapshot(
  context: RegistryContext,
  principal: string,
  request: CreateRequest,
): Promise<CreateRequest> {
  const { runtime, source } = request;
  if (runtime === null || context.engine.snapshots === undefined) return request;
  const snapshotId = await findNamedSnapshot(context, principal, runtime);
  if (snapshotId === null) return request;
  if (source === null) return { ...request, runtime: null, source: { type: 'snapshot', snapshotId } };
  throw new SandboxError('invalid_argument', `Runtime "${runtime}" is a snapshot, which takes no source.`, {
    hint: 'Call sandbox_create without source, then add the files with a command.',
    details: { runtime, snapshot_id: snapshotId },
  });
}

async function makeLive(
  context: RegistryContext,
  plan: CreateSandbox,
  intent: OwnershipRecord,
  signal: AbortSignal,
  hooks: CreateHooks,
): Promise<SandboxView> {
  let sandbox = await createAlive(context, plan, signal, hooks.report);
  if (sandbox.ports.some((port) => port.url === null) && context.engine.ports !== undefined) {
    await context.engine.ports.open(plan.sandboxId, signal);
    sandbox = await context.engine.get(plan.sandboxId, signal);
  }
  const record: OwnershipRecord = { ...intent, state: 'live', createdAt: sandbox.createdAt };
  throwIfCancelled(signal);
  await traced('registry', 'record of the live sandbox', () => context.store.write(record));
  // The sandbox shows as running from the write on: a session that ends now stops it, with a record of its
  // end, as it stops every other. A caller who cancels now gets no result, so nobody knows the sandbox: it is
  // removed.
  if (!(signal.reason instanceof SessionEnded)) throwIfCancelled(signal);
  hooks.onLive(record);
  return withOwnership(context, record, sandbox);
}

/** Creates it, and keeps it alive while its workspace is uploaded: only then does its own time start. */
async function createAlive(
  context: RegistryContext,
  plan: CreateSandbox,
  signal: AbortSignal,
  report: CreateHooks['report'],
): Promise<Sandbox> {
  const { engine, log } = context;
  const { sandboxId, timeoutMs } = plan;
  const leases = new Leases(context);
  let isUploaded = false;
  const onUploading = (running: Sandbox): void => {
    isUploaded = true;
    leases.hold(running);
  };
  try {
    const sandbox = await traced('engine', 'create', () => engine.create(plan, signal, report, onUploading));
    if (!isUploaded) return sandbox;
    return await restartDeadline(context, sandboxId, timeoutMs, signal).catch((error: unknown) => {
      log.warn({ sandbox_id: sandboxId, err: error }, 'Could not extend a sandbox after its upload.');
      return sandbox;
    });
  } finally {
    leases.close();
  }
}

function nameIsTaken(name: string, sandboxId: string): SandboxError {
  return new SandboxError('conflict', `A sandbox named ${JSON.stringify(name)} exists: ${sandboxId}.`, {
    hint: `Call sandbox_get with sandbox_id ${sandboxId}, which resumes it, or sandbox_create with another name.`,
    details: { name, sandbox_id: sandboxId },
  });
}

/** True if the engine says that the project has a sandbox of that name, which this machine did not know. */
function isNameTaken(error: unknown): boolean {
  return error instanceof SandboxError && error.code === 'conflict' && error.details['name'] !== undefined;
}

/** True, and recorded, if the sandbox was stopped on request during its creation: it did not fail. */
async function wasStopped(context: RegistryContext, { sandboxId }: OwnershipRecord): Promise<boolean> {
  try {
    const sandbox = await context.engine.get(sandboxId, AbortSignal.timeout(FORGET_MS));
    if (sandbox.stopCause !== 'requested' && sandbox.stopCause !== 'session_end') return false;
    return (await markEnded(context, sandboxId, sandbox)) !== null;
  } catch {
    // The sandbox does not exist or its state cannot be read: it counts as failed, and `undoCreate` removes it.
    return false;
  }
}

/**
 * Never rejects. What cannot be removed now is left without an owner, for the next recovery.
 *
 * @param failure the reason to keep in the record; null removes the record as well
 */
export async function undoCreate(
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
    log.error({ sandbox_id: sandboxId, err: error }, 'Could not clean up after a failed create.');
    try {
      await store.update(sandboxId, (record) => ({ ...record, state: 'creating', owner: null }));
    } catch (second) {
      log.error({ sandbox_id: sandboxId, err: second }, 'Could not update the record of a failed create.');
    }
  }
}

/**
 * Never rejects. The write of a record may fail after the record exists, which then counts against the quota: a
 * sandbox of the stock goes back only without one.
 */
async function undoAdmission(
  context: RegistryContext,
  intent: OwnershipRecord,
  stocked: string | null,
): Promise<void> {
  try {
    await context.store.remove(intent.sandboxId);
    if (stocked !== null) context.engine.stock?.giveBack(stocked);
  } catch (error) {
    context.log.error({ sandbox_id: intent.sandboxId, err: error }, 'Could not undo a failed admission.');
    if (stocked !== null) await undoCreate(context, intent, null);
  }
}

/** The same error with the id of the sandbox, whose record keeps the reason. */
function withId(error: unknown, sandboxId: string): unknown {
  if (!(error instanceof SandboxError)) return error;
  const { code, message, hint, details } = error;
  return new SandboxError(code, message, {
    hint,
    details: { ...details, sandbox_id: sandboxId },
    cause: error,
  });
}

/** The text of an unexpected error may contain paths of this host, so it goes to the log only. */
function reasonOf(error: unknown): string {
  return error instanceof SandboxError
    ? `${error.message} ${error.hint}`
    : 'Unexpected error; see the server log.';
}
