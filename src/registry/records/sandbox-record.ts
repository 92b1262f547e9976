import { z } from 'zod';
import { ENGINE_NAMES } from '../../shared/engine-names.ts';
import { isSandboxId } from '../../shared/ids.ts';
import { networkPolicyRecord } from '../../shared/policy-schema.ts';
import { parseVersioned, RECORD_VERSION, UnreadableRecord } from './record-format.ts';
import type { RecordKind } from './record-store.ts';

const processSchema = z.strictObject({
  pid: z.number().int().positive(),
  startTime: z.string(),
  bootId: z.string(),
});

/** Ownership of a sandbox. On disk from before the sandbox exists until its retention is over. */
const recordSchema = z.strictObject({
  version: z.literal(RECORD_VERSION),
  sandboxId: z.string().refine(isSandboxId),
  engine: z.enum(ENGINE_NAMES),
  principal: z.string(),
  /** The sandbox outlives its session and runs to its own deadline. */
  keep: z.boolean(),
  vcpus: z.number().positive(),
  /** Epoch ms; taken from the engine once the sandbox is live. */
  createdAt: z.number().int(),
  /** `creating` is written before anything exists, so that recovery can find what a crash leaves behind. */
  state: z.enum(['creating', 'live', 'ended']),
  /** Epoch ms; retention counts from here. Null until `ended`. */
  endedAt: z.number().int().nullable(),
  /** Null once the owning session has ended and released it. */
  owner: z.strictObject({ sessionId: z.string(), process: processSchema }).nullable(),
  /**
   * The sandbox outlives this record: when the record is removed, it stays where it is. Absent for others.
   */
  persistent: z.literal(true).optional(),
  /**
   * Further processes that own the sandbox because a session there attached to it. Absent if there are none.
   */
  coOwners: z.array(processSchema).optional(),
  /** Shown while the engine does not know the sandbox; absent in records of early versions. */
  requested: z
    .strictObject({
      /** Null for the engine's default. */
      runtime: z.string().nullable(),
      memoryMb: z.number(),
      timeoutMs: z.number(),
      ports: z.array(z.number().int()),
      /** Header values are masked, except references to secrets. */
      networkPolicy: networkPolicyRecord,
      sourceSnapshotId: z.string().nullable(),
    })
    .optional(),
  /** Why the create failed; absent otherwise. */
  failure: z.string().optional(),
});

export type OwnershipRecord = z.infer<typeof recordSchema>;

function formatRecord(record: OwnershipRecord): string {
  return `${JSON.stringify(record, null, 2)}\n`;
}

/** Version 0.1.0 called `requested` `asked`. */
function withCurrentNames(data: unknown): unknown {
  if (typeof data !== 'object' || data === null || !('asked' in data)) return data;
  const { asked, ...rest } = data;
  return { requested: asked, ...rest };
}

/**
 * Parses the record of one sandbox.
 *
 * @throws UnreadableRecord for a corrupt record, one of a newer version, or one of another sandbox
 */
function parseRecord(text: string, sandboxId: string): OwnershipRecord {
  const record = recordSchema.safeParse(withCurrentNames(parseVersioned(text)));
  if (!record.success) throw new UnreadableRecord(z.prettifyError(record.error));
  if (record.data.sandboxId !== sandboxId) throw new UnreadableRecord('it names another sandbox');
  return record.data;
}

/** Ownership of sandboxes, for their store. */
export const sandboxRecords: RecordKind<OwnershipRecord> = {
  noun: 'sandbox',
  prefix: 'sbx_',
  isId: isSandboxId,
  idOf: (record) => record.sandboxId,
  // A persistent sandbox can be resumed.
  isFinal: (record) => record.state === 'ended' && record.persistent !== true,
  format: formatRecord,
  parse: parseRecord,
};
