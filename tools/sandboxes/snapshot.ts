import { z } from 'zod';
import type { Snapshot } from '../../src/engines/engine.ts';
import type { TakenSnapshot } from '../../src/registry/types.ts';
import { raceAbort, withTimeout } from '../../src/shared/async/with-timeout.ts';
import { throwIfCancelled } from '../../src/shared/errors.ts';
import { plural } from '../../src/shared/text/text.ts';
import { READ_ONLY, REPLACES } from '../common/annotations.ts';
import { instantMs, listShape, sandboxId } from '../common/schemas.ts';
import { defineTool, type Tool } from '../common/tool.ts';

const snapshotShape = {
  snapshot_id: z.string(),
  source_sandbox_id: z.string(),
  status: z.string(),
  size_bytes: z.number().nullable(),
  created_at: z.number(),
  expires_at: z.number().nullable(),
};
const snapshotOutput = z.object(snapshotShape);

function snapshotAnswer(snapshot: Snapshot): z.output<typeof snapshotOutput> {
  return {
    snapshot_id: snapshot.snapshotId,
    source_sandbox_id: snapshot.sourceSandboxId,
    status: snapshot.status,
    size_bytes: snapshot.sizeBytes,
    created_at: snapshot.createdAt,
    expires_at: snapshot.expiresAt,
  };
}

const DAY_MS = 86_400_000;

/** The engines check this too, but only after running transfers were ended for the snapshot. */
const expirationMs = z
  .int()
  .min(0)
  .refine(
    (ms) => ms === 0 || (ms >= DAY_MS && Number.isSafeInteger(Date.now() + ms)),
    `0 (never) or at least ${DAY_MS}`,
  );

const take = defineTool({
  name: 'sandbox_snapshot',
  title: 'Snapshot sandbox',
  description:
    'Snapshot the file system and stop the sandbox, unless keep_running copies it. Restore or fork it with sandbox_create, source {type: snapshot, snapshot_id}.',
  searchHint: 'save, checkpoint a sandbox',
  toolsets: ['snapshots'],
  annotations: { ...REPLACES, idempotentHint: false },
  input: z.strictObject({
    expiration_ms: expirationMs
      .optional()
      .describe('0: never expires; else at least 86400000; default 30 days'),
    keep_running: z.boolean().optional(),
    name: z
      .string()
      .refine((value) => /^[a-z0-9][a-z0-9._-]{0,63}$/.test(value), 'up to 64 of a-z, 0-9, ., _ and -')
      .optional()
      .describe('usable as runtime'),
    sandbox_id: sandboxId,
  }),
  output: z.object({
    ...snapshotShape,
    // Null while the snapshot is still being made.
    snapshot_id: z.string().nullable(),
    created_at: z.number().nullable(),
    sandbox_status: z.string(),
    next: z.string(),
  }),
  async handle(args, { session, signal, softTimeoutMs, continueAsTask, confirm }) {
    const handle = await session.sandbox(args.sandbox_id);
    const id = handle.sandboxId;
    const { name, keep_running: keepRunning = false } = args;
    if (!keepRunning && !(await session.owns(id)))
      await confirm(
        `Stop sandbox ${id} for a snapshot? Another session has created it and may still use it.`,
      );
    // Whoever names a runtime expects to find it.
    const expirationMs = args.expiration_ms ?? (name === undefined ? null : 0);
    // Once started it continues, so that neither a cancelled call nor one answered early leaves half a
    // snapshot.
    throwIfCancelled(signal);
    const uncancelled = new AbortController().signal;
    const taking = handle.snapshot({ expirationMs, keepRunning, name }, uncancelled);
    let taken = await withTimeout(softTimeoutMs, signal, (limited) => raceAbort(taking, limited));
    if (taken === null && continueAsTask !== null) {
      continueAsTask(null);
      taken = await raceAbort(taking, signal);
    }
    if (taken !== null) {
      const state = keepRunning ? 'running' : 'stopped';
      const restoring =
        name === undefined
          ? `sandbox_create source={"type":"snapshot","snapshot_id":"${taken.snapshotId}"}`
          : `sandbox_create runtime=${name}`;
      const next = `Sandbox ${id} is ${state}. ${restoring} restores it${withoutWorkspace(taken)}.`;
      return { structured: { ...snapshotAnswer(taken), sandbox_status: state, next } };
    }
    const { status } = await handle.view(signal);
    return {
      structured: {
        snapshot_id: null,
        source_sandbox_id: id,
        status: 'creating',
        size_bytes: null,
        created_at: null,
        expires_at: null,
        sandbox_status: status === 'running' && !keepRunning ? 'snapshotting' : status,
        next: keepRunning
          ? 'snapshot_list shows it when it is complete'
          : `sandbox_wait_for_status sandbox_id=${id} status=stopped, then snapshot_list`,
      },
    };
  },
});

/** What a caller must know who expects the workspace in the snapshot. */
function withoutWorkspace({ workspace }: TakenSnapshot): string {
  if (workspace === undefined) return '';
  const { isCopied, losesApply, lost } = workspace;
  if (isCopied) {
    return losesApply ? ' with the files of its workspace, but no longer applies changes to the folder' : '';
  }
  if (lost === 0) return ', without its workspace';
  const changes = lost === null ? 'any unapplied changes' : plural(lost, 'unapplied change');
  return `, without its workspace: ${changes} of it were not kept`;
}

const get = defineTool({
  name: 'snapshot_get',
  title: 'Get snapshot',
  description: 'Get the state, size and expiry of a snapshot.',
  searchHint: 'state of a snapshot',
  toolsets: ['snapshots'],
  annotations: READ_ONLY,
  input: z.strictObject({ snapshot_id: z.string() }),
  output: snapshotOutput,
  async handle(args, { session, signal }) {
    return { structured: snapshotAnswer(await session.snapshots.get(args.snapshot_id, signal)) };
  },
});

const list = defineTool({
  name: 'snapshot_list',
  title: 'List snapshots',
  description: 'List your snapshots, newest first.',
  searchHint: 'find saved snapshots',
  toolsets: ['snapshots'],
  annotations: READ_ONLY,
  input: z.strictObject(listShape),
  output: z.object({
    snapshots: z.array(z.record(z.string(), z.unknown())),
    next_cursor: z.string().nullable(),
  }),
  async handle({ limit, since, until, cursor }, { session, signal }) {
    const query = {
      limit,
      since: since === undefined ? null : instantMs(since),
      until: until === undefined ? null : instantMs(until),
      cursor: cursor ?? null,
    };
    const page = await session.snapshots.list(query, signal);
    return { structured: { snapshots: page.items.map(snapshotAnswer), next_cursor: page.nextCursor } };
  },
});

const remove = defineTool({
  name: 'snapshot_delete',
  title: 'Delete snapshot',
  description: 'Delete a snapshot. Sandboxes and snapshots made from it are kept.',
  searchHint: 'remove a saved snapshot',
  toolsets: ['snapshots'],
  annotations: REPLACES,
  input: z.strictObject({ snapshot_id: z.string() }),
  output: snapshotOutput,
  async handle({ snapshot_id }, { session, signal, confirm }) {
    const { sandboxIds, snapshotIds } = await session.snapshots.dependents(snapshot_id);
    const dependents = [...sandboxIds, ...snapshotIds];
    if (dependents.length > 0)
      await confirm(`Delete snapshot ${snapshot_id}? It is the source of ${briefly(dependents)}.`);
    return { structured: snapshotAnswer(await session.snapshots.delete(snapshot_id, signal)) };
  },
});

const MAX_NAMED = 5;

/** A list for a person to read. */
function briefly(ids: readonly string[]): string {
  const more = ids.length - MAX_NAMED;
  const named = ids.slice(0, MAX_NAMED).join(', ');
  return more > 0 ? `${named} and ${more} more` : named;
}

/** Takes a snapshot; listed with the sandbox tools. */
export const takeSnapshot: Tool = take;

/** Tools that take a snapshot id, in the order of the tool list. */
export const snapshotTools: readonly Tool[] = [get, list, remove];
