/** Sandboxes that other machines know too: attached by id, and resumed after a stop. */
import { throwIfCancelled } from '../../../shared/errors.ts';
import { unknownSandbox } from '../../../shared/id-errors.ts';
import { isSandboxId } from '../../../shared/ids.ts';
import type { Persistence, Sandbox } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { fromPlatform, isSandboxMissing } from '../http/api-errors.ts';
import { fromSdkPolicy } from '../policy/network-policy.ts';
import { readRecord, removeRecord, updateRecord, writeIntent } from '../state/sandbox-record.ts';
import { getSandbox } from './get-sandbox.ts';

export function persistenceOf(context: VercelContext): Persistence {
  return {
    isResumable: (sandboxId, signal) => isResumable(context, sandboxId, signal),
    resume: (sandboxId, signal) => resume(context, sandboxId, signal),
    adopt: (sandboxId, signal) => adopt(context, sandboxId, signal),
    release: (sandboxId) => removeRecord(context.layout, sandboxId),
  };
}

async function isResumable(context: VercelContext, sandboxId: string, signal: AbortSignal): Promise<boolean> {
  throwIfCancelled(signal);
  try {
    return (await context.cloud.get(sandboxId, signal)).persistent;
  } catch (error) {
    if (isSandboxMissing(error)) return false;
    throw fromPlatform(error, { doing: 'get a sandbox', sandboxId }, signal);
  }
}

async function resume(context: VercelContext, sandboxId: string, signal: AbortSignal): Promise<Sandbox> {
  // Another one would start empty.
  if (!(await isResumable(context, sandboxId, signal))) return getSandbox(context, sandboxId, signal);
  try {
    const { sessionId } = await context.cloud.resume(sandboxId, signal);
    await updateRecord(context.layout, sandboxId, (record) => ({
      ...record,
      sessionId,
      requestedStop: null,
      snapshotSession: null,
    }));
  } catch (error) {
    if (isSandboxMissing(error)) throw unknownSandbox(sandboxId);
    throw fromPlatform(error, { doing: 'resume a sandbox', sandboxId }, signal);
  }
  return getSandbox(context, sandboxId, signal);
}

async function adopt(context: VercelContext, sandboxId: string, signal: AbortSignal): Promise<Sandbox> {
  if (!isSandboxId(sandboxId)) throw unknownSandbox(sandboxId);
  if ((await readRecord(context.layout, sandboxId)) !== null) return getSandbox(context, sandboxId, signal);
  // Throws for a sandbox that the project does not have.
  const view = await getSandbox(context, sandboxId, signal);
  const { teamId, projectId } = await context.cloud.credentials();
  const { persistent } = await context.cloud.get(sandboxId, signal);
  const session = await context.cloud.session(sandboxId, signal);
  await writeIntent(context.layout, {
    version: 1,
    sandboxId,
    state: 'made',
    teamId,
    projectId,
    requestedAt: view.createdAt,
    runtime: view.runtime,
    requestedStop: null,
    snapshotSession: null,
    persistent,
    sessionId: session.sessionId,
    sourcePath: null,
    lease: null,
    policy: fromSdkPolicy(session.networkPolicy),
    lastSeen: view,
  });
  return view;
}
