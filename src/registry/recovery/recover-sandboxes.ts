import type { Sandbox } from '../../engines/engine.ts';
import { mapConcurrent } from '../../shared/async/map-concurrent.ts';
import { SandboxError, throwIfCancelled } from '../../shared/errors.ts';
import type { RegistryContext } from '../context.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import { hasEnded, markEnded } from '../sandboxes/sandbox-end.ts';
import { recoverSnapshots } from './recover-snapshots.ts';

const AT_A_TIME = 4;

/** Ids of the sandboxes that a recovery stopped, and of those it removed completely. */
export interface Recovered {
  stopped: string[];
  forgotten: string[];
  /** What could not be recovered, and why. */
  failed: { id: string; reason: string }[];
}

/**
 * Cleans up after dead owners, including unfinished downloads, and removes ended sandboxes past their
 * retention. Sandboxes with a running owner are left alone. Two recoveries at a time are harmless: every step
 * is idempotent.
 *
 * A sandbox that cannot be recovered is logged and left for the next recovery.
 *
 * @param includeDamaged also ends and removes every sandbox with a damaged ownership record: nothing says who
 *   owns it, so it may be in use
 * @throws SandboxError `cancelled`
 */
export async function recoverSandboxes(
  context: RegistryContext,
  signal: AbortSignal,
  includeDamaged: boolean,
): Promise<Recovered> {
  try {
    return await recoverAll(context, signal, includeDamaged);
  } finally {
    // Last, since they may be large and no sandbox waits for them; and also if the engine's recovery fails.
    await context.stagedDownloads.removeAbandoned();
  }
}

async function recoverAll(
  context: RegistryContext,
  signal: AbortSignal,
  includeDamaged: boolean,
): Promise<Recovered> {
  const { engine, store } = context;
  await store.removeAbandoned();
  const recovered: Recovered = { stopped: [], forgotten: [], failed: [] };
  if (includeDamaged) await removeDamaged(context, recovered, signal);
  await reclaim(context, recovered, signal);
  await recoverSnapshots(context, signal);
  const records = (await store.all()).filter(
    (record) => record.engine === engine.name && !isRetained(context, record),
  );
  await mapConcurrent(records, AT_A_TIME, ({ sandboxId }) =>
    attempt(context, sandboxId, recovered, signal, () => recoverOne(context, sandboxId, recovered, signal)),
  );
  return recovered;
}

/** Rejects only if cancelled: any other failure is recorded and logged. */
async function attempt(
  { log }: RegistryContext,
  sandboxId: string,
  recovered: Recovered,
  signal: AbortSignal,
  work: () => Promise<void>,
): Promise<void> {
  throwIfCancelled(signal);
  try {
    await work();
  } catch (error) {
    throwIfCancelled(signal);
    recovered.failed.push({ id: sandboxId, reason: reasonOf(error) });
    log.error(
      { sandbox_id: sandboxId, err: error },
      'Could not recover a sandbox; left for the next recovery.',
    );
  }
}

async function removeDamaged(
  context: RegistryContext,
  recovered: Recovered,
  signal: AbortSignal,
): Promise<void> {
  const { engine, store } = context;
  for (const sandboxId of await store.damaged()) {
    await attempt(context, sandboxId, recovered, signal, async () => {
      await engine.forget(sandboxId, signal);
      await store.remove(sandboxId);
      recovered.forgotten.push(sandboxId);
    });
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function reclaim(context: RegistryContext, recovered: Recovered, signal: AbortSignal): Promise<void> {
  try {
    recovered.stopped.push(...(await context.engine.recover(signal)));
  } catch (error) {
    throwIfCancelled(signal);
    recovered.failed.push({ id: context.engine.name, reason: reasonOf(error) });
    context.log.error({ err: error }, 'The engine could not clean up after ended sandboxes.');
  }
}

/** True for the record of an ended sandbox that stays readable for now: there may be thousands of them. */
function isRetained({ config, clock }: RegistryContext, { state, endedAt }: OwnershipRecord): boolean {
  return state === 'ended' && endedAt !== null && endedAt + config.retentionMs > clock.now();
}

async function recoverOne(
  context: RegistryContext,
  sandboxId: string,
  recovered: Recovered,
  signal: AbortSignal,
): Promise<void> {
  // Another process may have recovered it since the records were listed.
  let record = await context.store.read(sandboxId);
  if (record === null) return;
  if (record.state === 'creating') {
    if (!(await context.owners.isAlive(record.owner))) await forget(context, sandboxId, recovered, signal);
    return;
  }
  if (record.state === 'live' && !(await context.owners.hasLivingOwner(record))) {
    record = await endOrphan(context, record, recovered, signal);
  }
  if (record === null || record.endedAt === null || isRetained(context, record)) return;
  await forget(context, sandboxId, recovered, signal);
}

/** Returns the updated record: ended, except for a kept sandbox before its deadline. */
async function endOrphan(
  context: RegistryContext,
  record: OwnershipRecord,
  recovered: Recovered,
  signal: AbortSignal,
): Promise<OwnershipRecord | null> {
  const { sandboxId } = record;
  let sandbox: Sandbox | null;
  try {
    sandbox = await getIfKnown(context, sandboxId, signal);
  } catch (error) {
    if (!(error instanceof SandboxError) || error.code !== 'server') throw error;
    // A sandbox with a damaged record cannot be used, and nothing else would ever end it.
    context.log.error({ sandbox_id: sandboxId, err: error }, 'Removing a sandbox with a damaged record.');
    await forget(context, sandboxId, recovered, signal);
    return null;
  }
  if (sandbox !== null && !hasEnded(sandbox)) {
    if (record.keep) return record;
    sandbox = await context.engine.stop(sandboxId, 'session_end', signal);
    if (!recovered.stopped.includes(sandboxId)) recovered.stopped.push(sandboxId);
  }
  return markEnded(context, sandboxId, sandbox);
}

async function getIfKnown(
  context: RegistryContext,
  sandboxId: string,
  signal: AbortSignal,
): Promise<Sandbox | null> {
  try {
    return await context.engine.get(sandboxId, signal);
  } catch (error) {
    if (error instanceof SandboxError && error.code === 'not_found') return null;
    throw error;
  }
}

async function forget(
  context: RegistryContext,
  sandboxId: string,
  recovered: Recovered,
  signal: AbortSignal,
): Promise<void> {
  const record = await context.store.read(sandboxId);
  const { engine } = context;
  if (record?.persistent && record.state !== 'creating') await engine.persistence?.release(sandboxId);
  else await engine.forget(sandboxId, signal);
  // Last: as long as the record exists, the next recovery continues an interrupted one.
  await context.store.remove(sandboxId);
  recovered.forgotten.push(sandboxId);
}
