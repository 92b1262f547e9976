/** The state of a sandbox: fetched from the cloud, unless it is known to have ended, which is final. */
import { setTimeout as delay } from 'node:timers/promises';
import type { Session } from '@vercel/sandbox';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { unknownSandbox } from '../../../shared/id-errors.ts';
import type { Sandbox } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { fromPlatform, isNotFound, isSandboxMissing, isStopped } from '../http/api-errors.ts';
import { readRecord, type SandboxRecord, updateRecord } from '../state/sandbox-record.ts';
import { endedView, hasEnded, viewOf } from './sandbox-view.ts';

/** @throws SandboxError `not_found`, or the mapped platform error */
export async function getSandbox(
  context: VercelContext,
  sandboxId: string,
  signal: AbortSignal,
): Promise<Sandbox> {
  throwIfCancelled(signal);
  const record = await readRecord(context.layout, sandboxId);
  if (record?.lastSeen && hasEndedForGood(record)) return record.lastSeen;
  // Its creation failed without a response from the cloud: if the sandbox appears later, it is removed.
  if (record?.state === 'doubtful') throw unknownSandbox(sandboxId);
  await requireSameProject(context, record);
  if (record?.state === 'creating') return getPending(context, record, signal);
  try {
    const view = await currentView(context, sandboxId, record, signal);
    await note(context, view, record);
    return view;
  } catch (error) {
    if (!isSandboxMissing(error)) throw fromPlatform(error, { doing: 'get a sandbox', sandboxId }, signal);
    if (record?.lastSeen == null) throw unknownSandbox(sandboxId);
    const ended = endedView(record.lastSeen, record, Date.now());
    // Before its deadline, and if no one requested its end, a single such response is not stored: it may be
    // wrong.
    if (ended.stopCause !== 'aborted') await note(context, ended, record);
    return ended;
  }
}

/** True if the sandbox is known to have ended and cannot be started again. */
function hasEndedForGood({ lastSeen, persistent }: SandboxRecord): boolean {
  return lastSeen !== null && hasEnded(lastSeen) && !persistent;
}

/** As the platform reports it now. @throws what the SDK throws */
export async function currentView(
  { cloud }: VercelContext,
  sandboxId: string,
  record: SandboxRecord | null,
  signal: AbortSignal,
): Promise<Sandbox> {
  const sandbox = await cloud.get(sandboxId, signal);
  return viewOf(sandbox, record, cloud.unknownParts.of(sandbox.currentSession().sessionId));
}

/** A sandbox is pending until it is returned to its creator, even if the cloud shows it as running. */
async function getPending(
  context: VercelContext,
  record: SandboxRecord,
  signal: AbortSignal,
): Promise<Sandbox> {
  const { sandboxId, lastSeen, requestedStop, requestedAt } = record;
  try {
    const view = await currentView(context, sandboxId, record, signal);
    if (!hasEnded(view)) return { ...view, status: view.status === 'running' ? 'pending' : view.status };
    if (requestedStop !== null) await note(context, view, record);
    return view;
  } catch (error) {
    if (!isSandboxMissing(error)) throw fromPlatform(error, { doing: 'get a sandbox', sandboxId }, signal);
    if (lastSeen === null) throw unknownSandbox(sandboxId);
    if (requestedStop !== null) {
      const ended = endedView(lastSeen, record, Date.now());
      await note(context, ended, record);
      return ended;
    }
    // If it still does not appear, its creator has died.
    if (Date.now() - requestedAt > context.tuning.longHeadersMs) throw unknownSandbox(sandboxId);
    return lastSeen;
  }
}

/** Another project would not know the sandbox, so it would appear to be gone while it keeps running. */
async function requireSameProject(context: VercelContext, record: SandboxRecord | null): Promise<void> {
  const { teamId, projectId } = await context.cloud.credentials();
  if (record === null || (record.teamId === teamId && record.projectId === projectId)) return;
  throw new SandboxError(
    'permission',
    `Sandbox ${record.sandboxId} is in project ${record.projectId} of team ${record.teamId}; the server uses project ${projectId} of team ${teamId}.`,
    {
      hint: 'To use the sandbox, start the server with VERCEL_TEAM_ID and VERCEL_PROJECT_ID of that project.',
    },
  );
}

/** Stores the last known state of a sandbox, so that it can be reported after the cloud has forgotten it. */
export async function note(
  context: VercelContext,
  view: Sandbox,
  record: SandboxRecord | null,
): Promise<void> {
  if (record === null) return;
  if (hasEnded(view)) context.cloud.forget(view.sandboxId);
  if (record.state === 'made' && JSON.stringify(record.lastSeen) === JSON.stringify(view)) return;
  await updateRecord(context.layout, view.sandboxId, (present) =>
    present.state === 'doubtful' || hasEndedForGood(present)
      ? present
      : { ...present, state: 'made', lastSeen: view },
  );
}

/** Why nothing can be done in this sandbox, and how to recover. */
export function notRunning({ sandboxId, status, stopCause }: Sandbox, doing: string): SandboxError {
  const bySnapshot = stopCause === 'snapshot';
  const hint = !hasEnded({ status })
    ? `Call sandbox_wait_for_status with status ${status === 'pending' ? 'running' : 'stopped'}.`
    : bySnapshot
      ? 'It was stopped by a snapshot: call snapshot_list to find it, and sandbox_create with it as source to continue.'
      : 'Call sandbox_create for a new one; logs and exit codes of this one remain available.';
  return new SandboxError('conflict', `Cannot ${doing}: sandbox ${sandboxId} is ${status}.`, {
    hint,
    details: { sandbox_id: sandboxId, status, stop_cause: stopCause },
  });
}

/**
 * Works in a running sandbox. If it has ended, rejects with `conflict` and the next step, whether that was
 * known before or follows from the refusal.
 *
 * @param doing completes "Cannot …"
 */
export async function inSession<T>(
  context: VercelContext,
  sandboxId: string,
  doing: string,
  signal: AbortSignal,
  work: (session: Session) => Promise<T>,
): Promise<T> {
  const session = await runningSession(context, sandboxId, doing, signal);
  try {
    return await work(session);
  } catch (error) {
    throw await explain(context, sandboxId, doing, signal, error);
  }
}

/** @throws SandboxError `not_found`, `conflict` unless it is running */
export async function runningSession(
  context: VercelContext,
  sandboxId: string,
  doing: string,
  signal: AbortSignal,
): Promise<Session> {
  throwIfCancelled(signal);
  const record = await readRecord(context.layout, sandboxId);
  if (record?.lastSeen && (record.state === 'creating' || hasEndedForGood(record)))
    throw notRunning(record.lastSeen, doing);
  const known = context.cloud.known(sandboxId);
  if (known !== null) return known;
  const view = await getSandbox(context, sandboxId, signal);
  if (view.status !== 'running') throw notRunning(view, doing);
  try {
    return await context.cloud.session(sandboxId, signal);
  } catch (error) {
    throw fromPlatform(error, { doing, sandboxId }, signal);
  }
}

/**
 * The error for a failure in a session: if the sandbox has ended, that is more informative than the
 * platform's message.
 */
export async function explain(
  context: VercelContext,
  sandboxId: string,
  doing: string,
  signal: AbortSignal,
  error: unknown,
): Promise<SandboxError> {
  if (isStopped(error) || isNotFound(error)) {
    context.cloud.forget(sandboxId);
    try {
      const view = await getSandbox(context, sandboxId, signal);
      if (view.status !== 'running') return notRunning(view, doing);
      if (isStopped(error)) return sessionEnded(view, doing, error);
    } catch (second) {
      context.log.debug({ sandbox_id: sandboxId, err: second }, 'cannot determine why a request failed');
    }
  }
  return fromPlatform(error, { doing, sandboxId }, signal);
}

/** The sandbox is reported as running: in another session, or not for long. */
function sessionEnded({ sandboxId }: Sandbox, doing: string, cause: unknown): SandboxError {
  const message = `Cannot ${doing}: the session of sandbox ${sandboxId} has ended. The sandbox was restarted elsewhere or is about to end.`;
  return new SandboxError('conflict', message, {
    hint: 'Call sandbox_get to see its state. If it was restarted, check what it contains before you continue.',
    details: { sandbox_id: sandboxId },
    cause,
  });
}

/** Polls until `enough` returns true; the platform offers no events for this. */
export async function pollUntil(
  context: VercelContext,
  sandboxId: string,
  enough: (view: Sandbox) => boolean,
  signal: AbortSignal,
): Promise<Sandbox> {
  for (;;) {
    const view = await getSandbox(context, sandboxId, signal);
    if (enough(view)) return view;
    try {
      await delay(context.tuning.pollMs, undefined, { signal });
    } catch {
      throwIfCancelled(signal);
    }
  }
}
