import type { SandboxSource, Snapshot, Snapshots } from '../../engines/engine.ts';
import { SandboxError } from '../../shared/errors.ts';
import { unknownSnapshot } from '../../shared/id-errors.ts';
import type { RegistryContext } from '../context.ts';
import { isOwn } from './is-own.ts';
import { RECORD_VERSION } from './record-format.ts';
import type { SnapshotOwnership } from './snapshot-record.ts';

/** @throws SandboxError `unsupported` if the engine has no snapshots */
export function requireSnapshots({ engine }: RegistryContext): Snapshots {
  if (engine.snapshots !== undefined) return engine.snapshots;
  throw new SandboxError('unsupported', `The ${engine.name} engine does not support snapshots.`, {
    hint: 'Download the files you need with sandbox_download_file, and upload them to a new sandbox with sandbox_upload_file.',
    details: { engine: engine.name },
  });
}

/** Records the owner of a snapshot. */
export async function ownSnapshot(
  context: RegistryContext,
  { snapshotId, sourceSandboxId, createdAt }: Snapshot,
  principal: string,
  name?: string,
): Promise<SnapshotOwnership> {
  const record: SnapshotOwnership = {
    version: RECORD_VERSION,
    snapshotId,
    engine: context.engine.name,
    principal,
    sourceSandboxId,
    createdAt,
    ...(name !== undefined && { name }),
  };
  await context.snapshots.write(record);
  return record;
}

/**
 * The recorded owner of a snapshot. If its creator died before recording one, the owner of the sandbox it was
 * taken from. Null if neither is known.
 */
export async function ownershipOf(
  context: RegistryContext,
  snapshot: Snapshot,
): Promise<SnapshotOwnership | null> {
  const record = await context.snapshots.read(snapshot.snapshotId);
  if (record !== null) return record;
  const source = await context.store.read(snapshot.sourceSandboxId);
  if (source === null || source.engine !== context.engine.name) return null;
  return ownSnapshot(context, snapshot, source.principal);
}

/**
 * A snapshot that the principal may see. Another principal's snapshot is indistinguishable from one that
 * never existed.
 *
 * @throws SandboxError `not_found`
 */
export async function findSnapshot(
  context: RegistryContext,
  principal: string,
  snapshotId: string,
  signal: AbortSignal,
): Promise<Snapshot> {
  const snapshots = requireSnapshots(context);
  const record = await context.snapshots.read(snapshotId);
  if (record !== null && !isOwn(context, principal, record)) throw unknownSnapshot(snapshotId);
  const snapshot = await forgetIfMissing(context, snapshotId, snapshots.get(snapshotId, signal));
  const owner = record ?? (await ownershipOf(context, snapshot));
  if (owner === null || !isOwn(context, principal, owner)) throw unknownSnapshot(snapshotId);
  return snapshot;
}

/** The engine's answer. If the engine no longer has the snapshot, its record is removed as well. */
export async function forgetIfMissing<Answer>(
  context: RegistryContext,
  snapshotId: string,
  answer: Promise<Answer>,
): Promise<Answer> {
  try {
    return await answer;
  } catch (error) {
    if (!(error instanceof SandboxError) || error.code !== 'not_found') throw error;
    await context.snapshots.remove(snapshotId);
    throw error;
  }
}

/** Rejects a source that is another principal's snapshot, before anything is created. */
export async function requireOwnedSource(
  context: RegistryContext,
  principal: string,
  source: SandboxSource | null,
  signal: AbortSignal,
): Promise<void> {
  if (source?.type !== 'snapshot' || context.engine.snapshots === undefined) return;
  await findSnapshot(context, principal, source.snapshotId, signal);
}
