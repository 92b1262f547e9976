import type { CreateSandbox } from '../engines/engine.ts';
import { throwIfCancelled } from '../shared/errors.ts';
import { newSandboxId } from '../shared/ids.ts';
import { admit } from './admission.ts';
import type { RegistryContext } from './context.ts';
import type { CreateRequest, SandboxView } from './contract.ts';
import { ownerOf } from './owner.ts';
import { planSandbox } from './plan-sandbox.ts';
import type { OwnershipRecord } from './record.ts';
import { RECORD_VERSION } from './record-format.ts';
import { requireSource } from './snapshot-lookup.ts';

const FORGET_MS = 30_000;

/**
 * Makes a sandbox for a session: first the record of the intent, then the sandbox, then the record that it lives. On
 * failure, or when `signal` fires, nothing of it stays. `adopt` is called once it is certain to stay.
 *
 * @throws SandboxError of the plan, the limits or the engine
 */
export async function createSandbox(
  context: RegistryContext,
  session: { sessionId: string; principal: string },
  request: CreateRequest,
  signal: AbortSignal,
  adopt: (record: OwnershipRecord) => void,
): Promise<SandboxView> {
  const { engine, config, clock } = context;
  await requireSource(context, session.principal, request.source, signal);
  const limits = await engine.limits(signal);
  const plan = planSandbox(newSandboxId(), request, engine, limits, config.maxLifetimeMs);
  const intent: OwnershipRecord = {
    version: RECORD_VERSION,
    sandboxId: plan.sandboxId,
    engine: engine.name,
    principal: session.principal,
    // Decided here and not at the session's end, which a crash may leave out.
    keep: request.keep || config.onDisconnect === 'keep',
    vcpus: plan.vcpus,
    createdAt: clock.now(),
    state: 'creating',
    endedAt: null,
    owner: ownerOf(session.sessionId),
  };
  await admit(context, intent, signal);
  try {
    return await makeLive(context, plan, intent, signal, adopt);
  } catch (error) {
    await undo(context, intent);
    throw error;
  }
}

async function makeLive(
  context: RegistryContext,
  plan: CreateSandbox,
  intent: OwnershipRecord,
  signal: AbortSignal,
  adopt: (record: OwnershipRecord) => void,
): Promise<SandboxView> {
  let sandbox = await context.engine.create(plan, signal);
  if (sandbox.ports.some((port) => port.url === null) && context.engine.ports !== undefined) {
    await context.engine.ports.open(plan.sandboxId, signal);
    sandbox = await context.engine.get(plan.sandboxId, signal);
  }
  const record: OwnershipRecord = { ...intent, state: 'live', createdAt: sandbox.createdAt };
  await context.store.write(record);
  // Nothing may come between these two: a session that ends either aborts this create or finds the sandbox adopted.
  throwIfCancelled(signal);
  adopt(record);
  return { ...sandbox, keep: record.keep };
}

/** Never rejects. What cannot be removed now is left without an owner: the next recovery's work. */
async function undo(context: RegistryContext, intent: OwnershipRecord): Promise<void> {
  const { engine, store, log } = context;
  try {
    // Not the caller's signal: it may be what ended the create.
    await engine.forget(intent.sandboxId, AbortSignal.timeout(FORGET_MS));
    await store.remove(intent.sandboxId);
  } catch (error) {
    log.error({ sandbox_id: intent.sandboxId, err: error }, 'A failed create could not be undone yet.');
    try {
      await store.update(intent.sandboxId, (record) => ({ ...record, state: 'creating', owner: null }));
    } catch (second) {
      log.error({ sandbox_id: intent.sandboxId, err: second }, 'Its record could not be changed.');
    }
  }
}
