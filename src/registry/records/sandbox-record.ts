import { z } from 'zod';
import { ENGINE_NAMES } from '../../shared/engine-names.ts';
import { isSandboxId } from '../../shared/ids.ts';
import { networkPolicyRecord } from '../../shared/policy-schema.ts';
import { parseVersioned, RECORD_VERSION, UnreadableRecord } from './record-format.ts';
import type { RecordKind } from './record-store.ts';

/** Who owns a sandbox, as kept on disk from before it exists until its retention is over. */
const recordSchema = z.strictObject({
  version: z.literal(RECORD_VERSION),
  sandboxId: z.string().refine(isSandboxId),
  engine: z.enum(ENGINE_NAMES),
  principal: z.string(),
  /** Outlives its session, up to its own deadline. */
  keep: z.boolean(),
  vcpus: z.number().positive(),
  /** Epoch ms; the engine's own time once the sandbox is live. */
  createdAt: z.number().int(),
  /** `creating` is the intent, written before anything exists; a crash in between leaves something to look for. */
  state: z.enum(['creating', 'live', 'ended']),
  /** Epoch ms; retention counts from here. Null until `ended`. */
  endedAt: z.number().int().nullable(),
  /** Null once the owning session has ended and given it up. */
  owner: z
    .strictObject({
      sessionId: z.string(),
      process: z.strictObject({
        pid: z.number().int().positive(),
        startTime: z.string(),
        bootId: z.string(),
      }),
    })
    .nullable(),
  /** What was asked for, to be told while, and where, the engine has nothing to tell; earlier versions left it out. */
  asked: z
    .strictObject({
      /** Null for the engine's own choice. */
      runtime: z.string().nullable(),
      memoryMb: z.number(),
      timeoutMs: z.number(),
      ports: z.array(z.number().int()),
      /** Without the values of headers, but for references to secrets. */
      networkPolicy: networkPolicyRecord,
      sourceSnapshotId: z.string().nullable(),
    })
    .optional(),
  /** Why it could not be made, in words; left out of the record of one that could. */
  failure: z.string().optional(),
});

export type OwnershipRecord = z.infer<typeof recordSchema>;

/** The file's text of a record. */
export function formatRecord(record: OwnershipRecord): string {
  return `${JSON.stringify(record, null, 2)}\n`;
}

/**
 * Reads the record of one sandbox.
 *
 * @throws UnreadableRecord for a corrupt record, one of a newer version, or one of another sandbox
 */
function parseRecord(text: string, sandboxId: string): OwnershipRecord {
  const record = recordSchema.safeParse(parseVersioned(text));
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
  format: formatRecord,
  parse: parseRecord,
};
