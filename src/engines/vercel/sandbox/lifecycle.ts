/**
 * The life of a sandbox after its creation: extending, stopping, removing, and recovery after a server has
 * died.
 */
import type { Session } from '@vercel/sandbox';
import { anySignal } from '../../../shared/async/any-signal.ts';
import { mapConcurrent } from '../../../shared/async/map-concurrent.ts';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { isSandboxId } from '../../../shared/ids.ts';
import type { Sandbox } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { fromPlatform, isNotFound, isStopped, mayHaveHappened } from '../http/api-errors.ts';
import {
  listRecordIds,
  readRecord,
  removeForgotten,
  removeRecord,
  updateRecord,
} from '../state/sandbox-record.ts';
import type { Creations } from './create.ts';
import { explain, getSandbox, inSession, pollUntil } from './get-sandbox.ts';
import { extensionMs, type Leases } from './lease.ts';
import { removeFromCloud } from './remove.ts';
import { hasEnded } from './sandbox-view.ts';

/** How long to look for a creation in doubt; the platform creates a sandbox in seconds. */
const DOUBT_MS = 15 * 60_000;
/** How long to wait for the end of a stopped sandbox. */
const END_MS = 60_000;
const AT_A_TIME = 4;

/** Extends the deadline. The platform is asked for no more than a lease needs now. */
export async function extendTimeout(
  context: VercelContext,
  leases: Leases,
  sandboxId: string,
  durationMs: number,
  signal: AbortSignal,
): Promise<Sandbox> {
  const doing = 'extend the timeout';
  return inSession(context, sandboxId, doing, signal, async (session) => {
    const { expiresAt } = await getSandbox(context, sandboxId, signal);
    const record = await readRecord(context.layout, sandboxId);
    const present = context.cloud.known(sandboxId) ?? session;
    const requestedMs =
      record?.lease == null
        ? durationMs
        : extensionMs(present, (expiresAt ?? Date.now()) + durationMs, context.tuning.leaseMs);
    // The SDK changes the session by the extension.
    const grantedMs = present.timeout + requestedMs;
    if (requestedMs > 0) await extendSession(context, sandboxId, present, requestedMs, signal);
    await updateRecord(context.layout, sandboxId, (known) => ({
      ...known,
      lease: known.lease && { ...known.lease, promisedMs: known.lease.promisedMs + durationMs, grantedMs },
    }));
    await leases.hold(sandboxId);
    return getSandbox(context, sandboxId, signal);
  });
}

/** Sent once: if the response is lost, the deadline itself shows whether it was moved. */
async function extendSession(
  { cloud }: VercelContext,
  sandboxId: string,
  session: Session,
  durationMs: number,
  signal: AbortSignal,
): Promise<void> {
  const before = session.timeout;
  try {
    await session.extendTimeout(durationMs, { signal });
  } catch (error) {
    if (!mayHaveHappened(error) || signal.aborted) throw error;
    const after = (await cloud.get(sandboxId, signal)).currentSession();
    if (after.timeout - before < durationMs) throw error;
  }
}

/** Ends a sandbox and waits until it has ended. */
export async function stopSandbox(
  context: VercelContext,
  sandboxId: string,
  cause: 'requested' | 'session_end',
  signal: AbortSignal,
): Promise<Sandbox> {
  const doing = 'stop the sandbox';
  const record = await readRecord(context.layout, sandboxId);
  if (record?.lastSeen && hasEnded(record.lastSeen) && !record.persistent) return record.lastSeen;
  if (context.cloud.known(sandboxId) === null) {
    const view = await getSandbox(context, sandboxId, signal);
    if (hasEnded(view)) return view;
  }
  await updateRecord(context.layout, sandboxId, (known) =>
    known.requestedStop === null ? { ...known, requestedStop: cause } : known,
  );
  try {
    const session = await context.cloud.session(sandboxId, signal);
    await session.stop({ signal });
  } catch (error) {
    const ended = isStopped(error) || isNotFound(error);
    context.cloud.forget(sandboxId);
    // A refusal counts as the end if the sandbox's own state confirms it.
    if (!ended || (await getSandbox(context, sandboxId, signal)).status === 'running')
      throw await explain(context, sandboxId, doing, signal, error);
  }
  return untilEnded(context, sandboxId, signal);
}

/** Resolves when the platform reports that it has ended, or after a minute with its state at that time. */
export async function untilEnded(
  context: VercelContext,
  sandboxId: string,
  signal: AbortSignal,
): Promise<Sandbox> {
  const limit = AbortSignal.timeout(END_MS);
  try {
    return await pollUntil(context, sandboxId, hasEnded, anySignal([signal, limit]));
  } catch (error) {
    throwIfCancelled(signal);
    if (!limit.aborted) throw error;
    return getSandbox(context, sandboxId, signal);
  }
}

/**
 * Removes every trace, in the cloud and here. A creation in doubt stays on record until it can no longer
 * appear.
 */
export async function forgetSandbox(
  context: VercelContext,
  creations: Creations,
  sandboxId: string,
  signal: AbortSignal,
): Promise<void> {
  if (!isSandboxId(sandboxId)) return;
  await creations.settled(sandboxId);
  const { layout } = context;
  const found = await removed(context, sandboxId, signal);
  const record = await readableRecord(context, sandboxId);
  const doubtful = record?.state === 'doubtful' && !found && Date.now() - record.requestedAt < DOUBT_MS;
  if (!doubtful) await removeRecord(layout, sandboxId);
}

async function removed(context: VercelContext, sandboxId: string, signal: AbortSignal): Promise<boolean> {
  try {
    return await removeFromCloud(context, sandboxId, signal);
  } catch (error) {
    // Regardless of its state: an ended sandbox is removed too.
    throw fromPlatform(error, { doing: 'remove a sandbox', sandboxId }, signal);
  }
}

/** Null for a damaged record: it is removed with the rest. */
async function readableRecord(context: VercelContext, sandboxId: string) {
  try {
    return await readRecord(context.layout, sandboxId);
  } catch (error) {
    if (error instanceof SandboxError && error.code === 'server') return null;
    throw error;
  }
}

/** Records what ended without a server, and removes the results of creations in doubt. Returns the ids. */
export async function recoverAll(context: VercelContext, signal: AbortSignal): Promise<string[]> {
  const ended: string[] = [];
  await removeForgotten(context.layout);
  await mapConcurrent(await listRecordIds(context.layout), AT_A_TIME, async (sandboxId) => {
    throwIfCancelled(signal);
    try {
      if (await recoverOne(context, sandboxId, signal)) ended.push(sandboxId);
    } catch (error) {
      throwIfCancelled(signal);
      // Without credentials no request is possible: report that once, to the caller.
      if (error instanceof SandboxError && error.code === 'auth') throw error;
      context.log.warn({ sandbox_id: sandboxId, err: error }, 'cannot check on a sandbox');
    }
  });
  return ended;
}

async function recoverOne(context: VercelContext, sandboxId: string, signal: AbortSignal): Promise<boolean> {
  const record = await readRecord(context.layout, sandboxId);
  // One in creation belongs to its creator, or to the registry if the creator is dead.
  if (record === null || record.state === 'creating') return false;
  if (record.state === 'doubtful') {
    const found = await removed(context, sandboxId, signal);
    if (found || Date.now() - record.requestedAt >= DOUBT_MS) await removeRecord(context.layout, sandboxId);
    return found;
  }
  if (record.lastSeen !== null && hasEnded(record.lastSeen)) return false;
  return hasEnded(await getSandbox(context, sandboxId, signal));
}
