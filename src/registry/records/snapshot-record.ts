import { z } from 'zod';
import { ENGINE_NAMES } from '../../shared/engine-names.ts';
import { isSandboxId, isSnapshotId } from '../../shared/ids.ts';
import { parseVersioned, RECORD_VERSION, UnreadableRecord } from './record-format.ts';
import type { RecordKind } from './record-store.ts';

/**
 * Ownership of a snapshot, from its creation until it is deleted or expires. It is independent of sessions.
 */
const schema = z.strictObject({
  version: z.literal(RECORD_VERSION),
  snapshotId: z.string(),
  engine: z.enum(ENGINE_NAMES),
  principal: z.string(),
  sourceSandboxId: z.string().refine(isSandboxId),
  /** Epoch ms, as reported by the engine. */
  createdAt: z.number().int(),
  /** What `runtime` may call it. */
  name: z.string().optional(),
});

export type SnapshotOwnership = z.infer<typeof schema>;

function parse(text: string, snapshotId: string): SnapshotOwnership {
  const record = schema.safeParse(parseVersioned(text));
  if (!record.success) throw new UnreadableRecord(z.prettifyError(record.error));
  if (record.data.snapshotId !== snapshotId) throw new UnreadableRecord('it names another snapshot');
  return record.data;
}

/** Ownership of snapshots, for their store. */
export const snapshotRecords: RecordKind<SnapshotOwnership> = {
  noun: 'snapshot',
  prefix: 'snap_',
  isId: isSnapshotId,
  idOf: (record) => record.snapshotId,
  isFinal: () => false,
  format: (record) => `${JSON.stringify(record, null, 2)}\n`,
  parse,
};
