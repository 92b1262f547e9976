import { readdir } from 'node:fs/promises';
import { z } from 'zod';
import { SandboxError } from '../../../shared/errors.ts';
import { writeFileAtomic } from '../../../shared/fs/atomic-file.ts';
import { withFileLock } from '../../../shared/fs/file-lock.ts';
import { readRecordFile } from '../../../shared/fs/record-file.ts';
import { unknownSnapshot } from '../../../shared/id-errors.ts';
import { isSandboxId, isSnapshotId } from '../../../shared/ids.ts';
import { DEFAULT_SHELL, layerSchema, ownersSchema } from './sandbox-record.ts';
import { type SnapshotPaths, STATE_FORMAT, type StateLayout } from './state-layout.ts';

const snapshotSchema = z.strictObject({
  format: z.literal(STATE_FORMAT),
  snapshotId: z.string().refine(isSnapshotId),
  sourceSandboxId: z.string().refine(isSandboxId),
  /** `deleted` while something stands on it: its layer stays until nothing does. */
  status: z.enum(['created', 'deleted']),
  runtime: z.string(),
  etcTemplate: z.string(),
  /** The image that it stands on; null: the host's files. */
  image: z.string().nullable().default(null),
  shell: z.string().default(DEFAULT_SHELL),
  /** All that a sandbox of it stands on, newest first: its own layer and those of the snapshots below. */
  layers: z.array(layerSchema).min(1),
  owners: ownersSchema,
  /** What its own layer takes on disk; null until that is counted. */
  ownBytes: z.number().nullable(),
  createdAt: z.number(),
  /** Null: never. */
  expiresAt: z.number().nullable(),
  /** How its layers were mounted, and whose ids are in them: others cannot read them right. */
  mounts: z.enum(['by-root', 'by-runtime']),
  ids: z.string(),
});

/** What the engine keeps on disk about a snapshot. */
export type SnapshotRecord = z.output<typeof snapshotSchema>;

/** Writes a record whole or not at all; on disk when this resolves, unless `durable` is false. */
export async function writeSnapshot(
  paths: SnapshotPaths,
  record: SnapshotRecord,
  durable = true,
): Promise<void> {
  await writeFileAtomic(paths.record, `${JSON.stringify(record, null, 1)}\n`, 0o600, durable);
}

/**
 * The record of a snapshot, deleted and expired ones included.
 * @throws `not_found` where there is none, `server` where it is damaged; neither changes anything
 */
export async function readSnapshot(layout: StateLayout, snapshotId: string): Promise<SnapshotRecord> {
  const damaged = (cause: unknown) =>
    new SandboxError('server', `The record of ${snapshotId} is damaged or of another version.`, {
      hint: 'The operator can look at record.json in its state directory; `sandbox-mcp doctor` names that directory.',
      cause,
      details: { snapshot_id: snapshotId },
    });
  const record = await readRecordFile(layout.snapshot(snapshotId).record, snapshotSchema, damaged);
  if (record === null) throw unknownSnapshot(snapshotId);
  return record;
}

/** @throws `not_found` for one that is unknown, deleted or past its expiry */
export async function readLiveSnapshot(layout: StateLayout, snapshotId: string): Promise<SnapshotRecord> {
  const record = await readSnapshot(layout, snapshotId);
  if (record.status !== 'created') throw unknownSnapshot(snapshotId, ' any more: it was deleted');
  if (hasExpired(record)) {
    const time = new Date(record.expiresAt ?? 0).toISOString();
    throw unknownSnapshot(snapshotId, ` any more: it expired at ${time}`);
  }
  return record;
}

/** True for a snapshot whose time is over, whether or not it was removed yet. */
export function hasExpired({ expiresAt }: SnapshotRecord): boolean {
  return expiresAt !== null && expiresAt <= Date.now();
}

/** Reads, changes and writes a record while nobody else does. `change` answers null to leave it. */
export async function updateSnapshot(
  layout: StateLayout,
  snapshotId: string,
  change: (record: SnapshotRecord) => SnapshotRecord | null,
): Promise<SnapshotRecord> {
  const paths = layout.snapshot(snapshotId);
  // Read first: a lock file must not be made where no snapshot is.
  await readSnapshot(layout, snapshotId);
  return withFileLock(paths.lock, async () => {
    const record = await readSnapshot(layout, snapshotId);
    const changed = change(record);
    if (changed !== null) await writeSnapshot(paths, changed);
    return changed ?? record;
  });
}

/** The ids of all snapshots that have a directory, deleted ones included, in no order. */
export async function listSnapshotIds(layout: StateLayout): Promise<string[]> {
  return (await readdir(layout.snapshots)).filter(isSnapshotId);
}
