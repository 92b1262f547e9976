/** Snapshots of the platform, identified by the ids of our sandboxes. */
import type { Snapshot as SdkSnapshot, Session } from '@vercel/sandbox';
import { KeyedLock } from '../../../shared/async/keyed-lock.ts';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { unknownSnapshot } from '../../../shared/id-errors.ts';
import { parseCursor } from '../../../shared/pagination.ts';
import type { ListQuery, Page, Snapshot, Snapshots } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { fromPlatform, isSnapshotMissing, mayHaveHappened } from '../http/api-errors.ts';
import { BATCH, PageMarks, pageFrom, spanOf } from '../http/pagination.ts';
import { updateRecord } from '../state/sandbox-record.ts';
import { removeSnapshotRecord, writeSnapshotRecord } from '../state/snapshot-record.ts';
import { SnapshotSources } from '../state/snapshot-sources.ts';
import { explain, getSandbox, notRunning } from './get-sandbox.ts';
import { untilEnded } from './lifecycle.ts';
import { stopInCloud } from './remove.ts';
import { findOutcome } from './snapshot-outcome.ts';

const DAY_MS = 86_400_000;
const DEFAULT_EXPIRATION_MS = 30 * DAY_MS;
const FIND_MS = 15_000;

const never = new AbortController().signal;

/** @throws SandboxError `invalid_argument` for less than a day */
function expirationOf(expirationMs: number | null): number {
  const duration = expirationMs ?? DEFAULT_EXPIRATION_MS;
  if (duration === 0) return 0;
  if (Number.isSafeInteger(duration) && duration >= DAY_MS && Number.isSafeInteger(Date.now() + duration))
    return duration;
  throw new SandboxError(
    'invalid_argument',
    `expiration_ms is ${duration}; it must be 0 (never) or at least ${DAY_MS}.`,
    { hint: `Call sandbox_snapshot with expiration_ms 0 or at least ${DAY_MS}; the default is 30 days.` },
  );
}

export class VercelSnapshots implements Snapshots {
  readonly #context: VercelContext;
  readonly #lock = new KeyedLock();
  readonly #marks = new PageMarks();

  constructor(context: VercelContext) {
    this.#context = context;
  }

  async take(sandboxId: string, expirationMs: number | null, signal: AbortSignal): Promise<Snapshot> {
    const expiration = expirationOf(expirationMs);
    throwIfCancelled(signal);
    return this.#lock.run(sandboxId, async () => {
      const view = await getSandbox(this.#context, sandboxId, signal);
      if (view.status !== 'running') throw notRunning(view, 'take a snapshot');
      const session = await this.#context.cloud.session(sandboxId, signal);
      throwIfCancelled(signal);
      const taken = await this.#take(sandboxId, session, expiration);
      const { snapshotId } = taken;
      await writeSnapshotRecord(this.#context.layout, {
        version: 1,
        snapshotId,
        sourceSandboxId: sandboxId,
        runtime: view.runtime,
      });
      await untilEnded(this.#context, sandboxId, never);
      return this.#viewOf(taken);
    });
  }

  async get(snapshotId: string, signal: AbortSignal): Promise<Snapshot> {
    return this.#viewOf(await this.#find(snapshotId, signal));
  }

  async list(query: ListQuery, signal: AbortSignal): Promise<Page<Snapshot>> {
    parseCursor(query.cursor);
    const placeOfSnapshot = ({ snapshotId, createdAt }: Snapshot) => ({ id: snapshotId, createdAt });
    const read = async (cursor: string | null) => {
      try {
        const { snapshots, pagination } = await this.#context.cloud.snapshots(BATCH, cursor, signal);
        const living = snapshots.filter(({ status, expiresAt }) => isThere(status, expiresAt ?? null));
        const sources = new SnapshotSources(this.#context.layout);
        const items = await Promise.all(
          living.map(async ({ id, sourceSessionId, sizeBytes, createdAt, expiresAt }) => ({
            snapshotId: id,
            sourceSandboxId: await sources.sandboxOf(id, sourceSessionId),
            status: 'created' as const,
            sizeBytes,
            createdAt,
            expiresAt: expiresAt ?? null,
          })),
        );
        return { items, span: spanOf(snapshots), next: pagination.next };
      } catch (error) {
        throw fromPlatform(error, { doing: 'list snapshots' }, signal);
      }
    };
    return pageFrom(query, placeOfSnapshot, read, this.#marks);
  }

  async delete(snapshotId: string, signal: AbortSignal): Promise<Snapshot> {
    const snapshot = await this.#find(snapshotId, signal);
    const view = await this.#viewOf(snapshot);
    try {
      await snapshot.delete({ signal });
    } catch (error) {
      // A retry after a lost response finds nothing: it is gone, as requested.
      if (!isSnapshotMissing(error))
        throw fromPlatform(error, { doing: 'delete a snapshot', snapshotId }, signal);
    }
    await removeSnapshotRecord(this.#context.layout, snapshotId);
    return { ...view, status: 'deleted' };
  }

  async #find(snapshotId: string, signal: AbortSignal): Promise<SdkSnapshot> {
    this.#context.layout.snapshot(snapshotId);
    let snapshot: SdkSnapshot;
    try {
      snapshot = await this.#context.cloud.snapshot(snapshotId, signal);
    } catch (error) {
      if (isSnapshotMissing(error)) throw unknownSnapshot(snapshotId);
      throw fromPlatform(error, { doing: 'get a snapshot', snapshotId }, signal);
    }
    if (isThere(snapshot.status, snapshot.expiresAt?.getTime() ?? null)) return snapshot;
    throw unknownSnapshot(snapshotId);
  }

  /**
   * Requested once and not cancellable: an interrupted snapshot would leave neither a snapshot nor a sandbox.
   */
  async #take(sandboxId: string, session: Session, expiration: number): Promise<SdkSnapshot> {
    const { layout } = this.#context;
    await updateRecord(layout, sandboxId, (record) => ({
      ...record,
      requestedStop: record.requestedStop ?? 'snapshot',
      snapshotSession: session.sessionId,
    }));
    const snapshottedBefore = session.snapshottedAt?.getTime();
    try {
      const taken = await session.snapshot({ expiration });
      if (taken.status !== 'created') throw notTaken(sandboxId, taken.status);
      if (session.status === 'running') await this.#stopSource(sandboxId);
      return taken;
    } catch (error) {
      const source = { sandboxId, sessionId: session.sessionId, snapshottedBefore };
      const isInDoubt = !(error instanceof SandboxError) && mayHaveHappened(error);
      const outcome = isInDoubt ? await findOutcome(this.#context, source) : 'not taken';
      if (typeof outcome !== 'string') return outcome;
      await updateRecord(layout, sandboxId, (record) =>
        record.requestedStop === 'snapshot' ? { ...record, requestedStop: null } : record,
      );
      const explained = await explain(this.#context, sandboxId, 'take a snapshot', never, error);
      throw outcome === 'not taken' ? explained : mayStillBeTaken(explained);
    }
  }

  /**
   * Taking a snapshot ends its source; if the platform keeps it running, stops it, as was reported. Never
   * rejects.
   */
  async #stopSource(sandboxId: string): Promise<void> {
    try {
      await stopInCloud(this.#context, sandboxId, AbortSignal.timeout(FIND_MS));
    } catch (error) {
      this.#context.log.warn(
        { sandbox_id: sandboxId, err: error },
        'the sandbox did not stop after its snapshot',
      );
    }
  }

  async #viewOf(snapshot: SdkSnapshot): Promise<Snapshot> {
    const { snapshotId, sourceSessionId, sizeBytes, createdAt, expiresAt } = snapshot;
    const sources = new SnapshotSources(this.#context.layout);
    return {
      snapshotId,
      sourceSandboxId: await sources.sandboxOf(snapshotId, sourceSessionId),
      status: 'created',
      sizeBytes,
      createdAt: createdAt.getTime(),
      expiresAt: expiresAt?.getTime() ?? null,
    };
  }
}

/** The call has failed, but the platform may still carry it out. */
function mayStillBeTaken(error: SandboxError): SandboxError {
  return new SandboxError(error.code, error.message, {
    hint: 'The snapshot may still be taken, which stops the sandbox: call sandbox_get and snapshot_list in a minute.',
    details: error.details,
    cause: error,
  });
}

function notTaken(sandboxId: string, status: string): SandboxError {
  return new SandboxError('server', `Vercel could not take the snapshot: it is ${status}.`, {
    hint: 'Call sandbox_get to see whether the sandbox is still running, then sandbox_snapshot again.',
    details: { sandbox_id: sandboxId },
  });
}

function isThere(status: string, expiresAt: number | null): boolean {
  return status === 'created' && (expiresAt === null || expiresAt > Date.now());
}
