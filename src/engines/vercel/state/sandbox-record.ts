/**
 * What this machine records about a sandbox in addition to the cloud's state. Written before the create
 * request is sent.
 */
import { mkdir, rm } from 'node:fs/promises';
import { z } from 'zod';
import { ENGINE_NAMES } from '../../../shared/engine-names.ts';
import { SandboxError } from '../../../shared/errors.ts';
import { listDirectory } from '../../../shared/fs/list-directory.ts';
import { isSandboxId } from '../../../shared/ids.ts';
import { networkPolicyRecord } from '../../../shared/policy-schema.ts';
import { parseDocument } from './documents.ts';
import { SANDBOXES, type VercelLayout } from './state-layout.ts';

/** The last known state of a sandbox, with the policy stored as in `policy`. */
const seenSchema = z.strictObject({
  sandboxId: z.string(),
  status: z.enum(['pending', 'running', 'snapshotting', 'stopping', 'stopped', 'aborted', 'failed']),
  engine: z.enum(ENGINE_NAMES),
  runtime: z.string(),
  cwd: z.string(),
  vcpus: z.number(),
  memoryMb: z.number(),
  createdAt: z.number(),
  timeoutMs: z.number(),
  expiresAt: z.number().nullable(),
  ports: z.array(z.strictObject({ port: z.number(), url: z.string().nullable() })),
  networkPolicy: networkPolicyRecord,
  interactivePort: z.number().nullable(),
  sourceSnapshotId: z.string().nullable(),
  sourcePath: z.string().nullable().default(null),
  region: z.string().optional(),
  stopCause: z
    .enum(['requested', 'session_end', 'deadline', 'snapshot', 'aborted', 'out_of_memory'])
    .nullable(),
  statusReason: z.string().nullable(),
});

const leaseSchema = z.strictObject({
  /** The total lifetime that callers were promised, extensions included. */
  promisedMs: z.number(),
  /** As much of it as the platform has granted so far. */
  grantedMs: z.number(),
  /** Epoch ms; null until the sandbox runs. */
  startedAt: z.number().nullable(),
  /** The replica that renews it; absent if there are no replicas. */
  holder: z.string().optional(),
});

const recordSchema = z.strictObject({
  version: z.literal(1),
  sandboxId: z.string().refine(isSandboxId),
  /**
   * `creating`: the create request is sent or about to be. `doubtful`: the answer left open whether the
   * sandbox exists.
   */
  state: z.enum(['creating', 'made', 'doubtful']),
  teamId: z.string(),
  projectId: z.string(),
  /** Epoch ms of the intent. */
  requestedAt: z.number(),
  /** As shown to users; for a sandbox created from a snapshot, the snapshot's runtime. */
  runtime: z.string().nullable(),
  /** The first request to end the sandbox. */
  requestedStop: z.enum(['requested', 'session_end', 'snapshot']).nullable(),
  /**
   * The session that a snapshot was requested from: the API names a snapshot's source by its session alone.
   */
  snapshotSession: z.string().nullable().default(null),
  /** Stopped, it can be started again with its files, also from elsewhere. */
  persistent: z.boolean().default(false),
  /** The session that was started last from here; null in records of early versions. */
  sessionId: z.string().nullable().default(null),
  /** Null for a sandbox that outlives its servers, and in records of early versions. */
  lease: leaseSchema.nullable().default(null),
  /** Where a git source is, as `Sandbox.sourcePath`. */
  sourcePath: z.string().nullable().default(null),
  /** The policy requested last: header values masked, `${secret:NAME}` not substituted. */
  policy: networkPolicyRecord,
  lastSeen: seenSchema.nullable(),
});

export type SandboxRecord = z.output<typeof recordSchema>;
export type Lease = z.output<typeof leaseSchema>;

/** Version 0.1.0 called `requestedAt` `askedAt`, and `requestedStop` `stopAsked`. */
const storedSchema = z.preprocess((data) => {
  if (typeof data !== 'object' || data === null || !('askedAt' in data)) return data;
  const { askedAt, ...others } = data;
  if (!('stopAsked' in others)) return { ...others, requestedAt: askedAt };
  const { stopAsked, ...rest } = others;
  return { ...rest, requestedAt: askedAt, requestedStop: stopAsked };
}, recordSchema);

/** @throws SandboxError `conflict` if the id was used before */
export async function writeIntent(layout: VercelLayout, record: SandboxRecord): Promise<void> {
  const paths = layout.sandbox(record.sandboxId);
  await mkdir(layout.sandboxes, { recursive: true, mode: 0o700 });
  if (!(await layout.documents.create(paths.record, JSON.stringify(record), { durable: true })))
    throw new SandboxError('conflict', `Sandbox ${record.sandboxId} already exists.`);
  await mkdir(paths.commands, { recursive: true, mode: 0o700 });
}

/** Null if there is none: the sandbox may be another machine's. */
export async function readRecord(layout: VercelLayout, sandboxId: string): Promise<SandboxRecord | null> {
  const text = await layout.documents.read(layout.sandbox(sandboxId).record);
  return text === null ? null : parse(text, sandboxId);
}

function parse(text: string, sandboxId: string): SandboxRecord {
  return parseDocument(text, storedSchema, (cause) => {
    const message = `The record of ${sandboxId} on this machine is damaged.`;
    return new SandboxError('server', message, {
      hint: 'The sandbox itself is in the cloud: check and stop it in the project’s dashboard.',
      cause,
    });
  });
}

/** Changes the record if there is one; `change` may return the same object for no change. */
export async function updateRecord(
  layout: VercelLayout,
  sandboxId: string,
  change: (record: SandboxRecord) => SandboxRecord,
): Promise<void> {
  const { record: place } = layout.sandbox(sandboxId);
  // Before the lock: its directory may be missing, too.
  if ((await layout.documents.read(place)) === null) return;
  await layout.documents.update(place, (text) => {
    if (text === null) return null;
    const record = parse(text, sandboxId);
    const changed = change(record);
    return changed === record ? text : JSON.stringify(changed);
  });
}

/** The ids of the sandboxes with records, in any order. */
export async function listRecordIds(layout: VercelLayout): Promise<string[]> {
  return (await layout.documents.ids(layout.sandboxes, SANDBOXES)).filter(isSandboxId);
}

/** Removes everything about a sandbox here: record, commands, logs. */
export async function removeRecord(layout: VercelLayout, sandboxId: string): Promise<void> {
  const { record, commandRecords } = layout.sandbox(sandboxId);
  if (layout.store !== null) {
    for (const commandId of await layout.store.ids(commandRecords))
      await layout.store.drop(layout.command(commandId).output);
    await layout.store.drop(commandRecords);
  }
  // Last: as long as there is a record, the next recovery removes the rest.
  await layout.documents.remove(record);
}

/** Removes what this machine still has of sandboxes whose records another replica has removed. */
export async function removeForgotten(layout: VercelLayout): Promise<void> {
  if (layout.store === null) return;
  // In this order: a sandbox has its record before it has a directory.
  const here = (await listDirectory(layout.sandboxes)).filter(isSandboxId);
  const known = new Set(await listRecordIds(layout));
  for (const sandboxId of here)
    if (!known.has(sandboxId)) await rm(layout.sandbox(sandboxId).dir, { recursive: true, force: true });
}
