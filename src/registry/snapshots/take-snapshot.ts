import type { Sandbox, Snapshots } from '../../engines/engine.ts';
import { SandboxError } from '../../shared/errors.ts';
import type { RegistryContext } from '../context.ts';
import { requireFreeName } from '../records/named-snapshots.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import { ownSnapshot, requireSnapshots } from '../records/snapshot-lookup.ts';
import { hasEnded, markEnded } from '../sandboxes/sandbox-end.ts';
import type { SnapshotRequest, TakenSnapshot } from '../types.ts';
import { checkWorkspace } from './workspace-loss.ts';

/**
 * Takes a snapshot of a sandbox; its owner is the principal that owns the sandbox. `look` returns the
 * sandbox, or throws if it cannot be used. `quieten` ends this session's writes to it.
 *
 * @throws SandboxError `unsupported`, `limit_exceeded`, `conflict` for changes of a workspace that would be
 *   lost, or what the engine throws
 */
export async function takeSnapshot(
  context: RegistryContext,
  { sandboxId, principal }: OwnershipRecord,
  { requireRunning, quieten }: { requireRunning: () => Promise<Sandbox>; quieten: () => Promise<void> },
  { expirationMs, keepRunning, name }: SnapshotRequest,
  signal: AbortSignal,
): Promise<TakenSnapshot> {
  const snapshots = requireSnapshots(context);
  const take = keepRunning ? copierOf(snapshots, context.engine.name) : snapshots.take.bind(snapshots);
  // One at a time, so that two of them cannot exceed the limit together.
  return context.lock.run(`snapshots of ${principal}`, async () => {
    const sandbox = await requireRunning();
    await requireRoom(context, principal);
    if (name !== undefined) await requireFreeName(context, name, signal);
    const workspace = await checkWorkspace(context, snapshots, sandbox, keepRunning, signal);
    await quieten();
    try {
      const snapshot = await take(sandboxId, expirationMs, signal);
      await ownSnapshot(context, snapshot, principal, name);
      return workspace === undefined ? snapshot : { ...snapshot, workspace };
    } catch (error) {
      // The caller may have been answered before the failure.
      context.log.warn({ sandbox_id: sandboxId, err: error }, 'A snapshot failed.');
      throw error;
    } finally {
      await recordEnd(context, sandboxId);
    }
  });
}

function copierOf(snapshots: Snapshots, engine: string): NonNullable<Snapshots['copy']> {
  if (snapshots.copy !== undefined) return snapshots.copy.bind(snapshots);
  throw new SandboxError('unsupported', `Engine ${engine} cannot snapshot a sandbox that keeps running.`, {
    hint: 'Call sandbox_snapshot without keep_running, then sandbox_create from the snapshot.',
  });
}

async function requireRoom(context: RegistryContext, principal: string): Promise<void> {
  const max = context.config.maxSnapshots;
  const used = (await context.snapshots.all()).filter(
    (record) => record.principal === principal && record.engine === context.engine.name,
  ).length;
  if (used < max) return;
  throw new SandboxError('limit_exceeded', `There are already ${used} snapshots; the limit is ${max}.`, {
    hint: 'Call snapshot_list to see them, and snapshot_delete for one that you no longer need.',
    details: { limit: 'max_snapshots', max, used },
  });
}

/** Never rejects: the next query of the sandbox records its end as well. */
async function recordEnd(context: RegistryContext, sandboxId: string): Promise<void> {
  try {
    const sandbox = await context.engine.get(sandboxId, AbortSignal.timeout(5_000));
    if (hasEnded(sandbox)) await markEnded(context, sandboxId, sandbox);
  } catch (error) {
    context.log.warn({ sandbox_id: sandboxId, err: error }, 'Could not record the end of a sandbox.');
  }
}
