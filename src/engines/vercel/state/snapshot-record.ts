/**
 * This machine's record of a snapshot that it took: the cloud knows neither our sandbox's id nor its runtime.
 */
import { mkdir, readFile, rm } from 'node:fs/promises';
import { z } from 'zod';
import { systemErrorCode } from '../../../shared/errors.ts';
import { writeFileAtomic } from '../../../shared/fs/atomic-file.ts';
import { isSandboxId, isSnapshotId } from '../../../shared/ids.ts';
import { change } from '../../../shared/store/store.ts';
import { SNAPSHOTS, type VercelLayout } from './state-layout.ts';

const schema = z.strictObject({
  version: z.literal(1),
  snapshotId: z.string().refine(isSnapshotId),
  sourceSandboxId: z.string().refine(isSandboxId),
  runtime: z.string(),
});

export type SnapshotRecord = z.output<typeof schema>;

/** Stored on disk when this resolves. */
export async function writeSnapshotRecord(layout: VercelLayout, record: SnapshotRecord): Promise<void> {
  const path = layout.snapshot(record.snapshotId);
  if (layout.store !== null) {
    await change(layout.store, SNAPSHOTS, record.snapshotId, () => JSON.stringify(record));
    return;
  }
  await mkdir(layout.snapshots, { recursive: true, mode: 0o700 });
  await writeFileAtomic(path, JSON.stringify(record));
}

/** Null if this machine has none, or none that it can read: nothing of the snapshot itself depends on it. */
export async function readSnapshotRecord(
  layout: VercelLayout,
  snapshotId: string,
): Promise<SnapshotRecord | null> {
  try {
    const path = layout.snapshot(snapshotId);
    const text =
      layout.store === null ? await readFile(path, 'utf8') : await layout.store.read(SNAPSHOTS, snapshotId);
    if (text === null) return null;
    const read = schema.safeParse(JSON.parse(text));
    return read.success ? read.data : null;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT' || error instanceof SyntaxError) return null;
    throw error;
  }
}

/** @throws SandboxError `not_found` for an invalid id */
export async function snapshotRuntime(layout: VercelLayout, snapshotId: string): Promise<string | null> {
  return (await readSnapshotRecord(layout, snapshotId))?.runtime ?? null;
}

/** A missing record is not an error. */
export async function removeSnapshotRecord(layout: VercelLayout, snapshotId: string): Promise<void> {
  const path = layout.snapshot(snapshotId);
  if (layout.store === null) await rm(path, { force: true });
  else await change(layout.store, SNAPSHOTS, snapshotId, () => null);
}
