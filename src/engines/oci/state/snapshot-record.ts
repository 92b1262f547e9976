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
  /** `deleted`: removed by the caller, but its layer is kept while something is based on it. */
  status: z.enum(['created', 'deleted']),
  runtime: z.string(),
  etcTemplate: z.string(),
  /** The image that it is based on; null: the host's files. */
  image: z.string().nullable().default(null),
  shell: z.string().default(DEFAULT_SHELL),
  /** The layers of a sandbox created from it, newest first: its own and those of its parent snapshots. */
  layers: z.array(layerSchema).min(1),
  owners: ownersSchema,
  /** Disk use of its own layer; null until measured. */
  ownBytes: z.number().nullable(),
  createdAt: z.number(),
  /** Null: never expires. */
  expiresAt: z.number().nullable(),
  /** How its layers were mounted and with which ids: a sandbox with other mounts or ids cannot use them. */
  mounts: z.enum(['by-root', 'by-runtime']),
  ids: z.string(),
});

/** What the engine keeps on disk about a snapshot. */
export type SnapshotRecord = z.output<typeof snapshotSchema>;

/** Writes a record atomically; it is flushed to disk when this resolves, unless `durable` is false. */
export async function writeSnapshot(
  paths: SnapshotPaths,
  record: SnapshotRecord,
  durable = true,
): Promise<void> {
  await writeFileAtomic(paths.record, `${JSON.stringify(record, null, 1)}\n`, 0o600, durable);
}

/**
 * The record of a snapshot, even if it is deleted or expired.
 * @throws `not_found` if there is none, `server` if it is damaged; neither changes anything
 */
export async function readSnapshot(layout: StateLayout, snapshotId: string): Promise<SnapshotRecord> {
  const damaged = (cause: unknown) =>
    new SandboxError('server', `The record of ${snapshotId} is damaged or of another version.`, {
      hint: 'The operator can check record.json in the state directory; `sandbox-mcp doctor` shows where it is.',
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

/** True for an expired snapshot, whether or not it has been removed yet. */
export function hasExpired({ expiresAt }: SnapshotRecord): boolean {
  return expiresAt !== null && expiresAt <= Date.now();
}

/** Reads, changes and writes a record under its lock. `change` returns null to leave it unchanged. */
export async function updateSnapshot(
  layout: StateLayout,
  snapshotId: string,
  change: (record: SnapshotRecord) => SnapshotRecord | null,
): Promise<SnapshotRecord> {
  const paths = layout.snapshot(snapshotId);
  // Read first, so that no lock file is created for a snapshot that does not exist.
  await readSnapshot(layout, snapshotId);
  return withFileLock(paths.lock, async () => {
    const record = await readSnapshot(layout, snapshotId);
    const changed = change(record);
    if (changed !== null) await writeSnapshot(paths, changed);
    return changed ?? record;
  });
}

/** The ids of all snapshots that have a directory, including deleted ones, in no particular order. */
export async function listSnapshotIds(layout: StateLayout): Promise<string[]> {
  return (await readdir(layout.snapshots)).filter(isSnapshotId);
}
