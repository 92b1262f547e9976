/** Snapshots of the platform, told by the ids of our sandboxes. */
import type { Snapshot as SdkSnapshot, Session } from '@vercel/sandbox';
import { KeyedLock } from '../../../shared/async/keyed-lock.ts';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { unknownSnapshot } from '../../../shared/id-errors.ts';
import { placeOf } from '../../../shared/pagination.ts';
import type { ListQuery, Page, Snapshot, Snapshots } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { fromPlatform, isSnapshotGone, mayHaveHappened } from '../http/api-errors.ts';
import { updateRecord } from '../state/sandbox-record.ts';
import { readSnapshotRecord, removeSnapshotRecord, writeSnapshotRecord } from '../state/snapshot-record.ts';
import { explain, look, notRunning } from './get-sandbox.ts';
import { untilEnded } from './lifecycle.ts';
import { BATCH, PageMarks, pageFrom, spanOf } from './pagination.ts';
import { stopInCloud } from './remove.ts';

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
    `expiration_ms is ${duration}; it has to be 0 (never) or at least ${DAY_MS}.`,
    { hint: `Call sandbox_snapshot with expiration_ms 0 or ${DAY_MS} and more; left out, it is 30 days.` },
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
      const view = await look(this.#context, sandboxId, signal);
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
    placeOf(query.cursor);
    const placeOfSnapshot = ({ snapshotId, createdAt }: Snapshot) => ({ id: snapshotId, createdAt });
    const read = async (cursor: string | null) => {
      try {
        const { snapshots, pagination } = await this.#context.cloud.snapshots(BATCH, cursor, signal);
        const living = snapshots.filter(({ status, expiresAt }) => isThere(status, expiresAt ?? null));
        const items = await Promise.all(
          living.map(async ({ id, ...rest }) =>
            this.#told(id, rest.sourceSessionId, rest.sizeBytes, rest.createdAt, rest.expiresAt ?? null),
          ),
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
      // A repeat after a lost answer finds nothing: it is gone, as was asked.
      if (!isSnapshotGone(error))
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
      if (isSnapshotGone(error)) throw unknownSnapshot(snapshotId);
      throw fromPlatform(error, { doing: 'show a snapshot', snapshotId }, signal);
    }
    if (isThere(snapshot.status, snapshot.expiresAt?.getTime() ?? null)) return snapshot;
    throw unknownSnapshot(snapshotId);
  }

  /** Asked once, and by nobody's signal: half a snapshot is neither that nor a sandbox. */
  async #take(sandboxId: string, session: Session, expiration: number): Promise<SdkSnapshot> {
    const { layout } = this.#context;
    await updateRecord(layout, sandboxId, (record) => ({
      ...record,
      stopAsked: record.stopAsked ?? 'snapshot',
    }));
    try {
      const taken = await session.snapshot({ expiration });
      if (taken.status !== 'created') throw notTaken(sandboxId, taken.status);
      if (session.status === 'running') await this.#stopSource(sandboxId);
      return taken;
    } catch (error) {
      const found = mayHaveHappened(error) ? await this.#takenOf(session.sessionId) : null;
      if (found !== null) return found;
      await updateRecord(layout, sandboxId, (record) =>
        record.stopAsked === 'snapshot' ? { ...record, stopAsked: null } : record,
      );
      throw await explain(this.#context, sandboxId, 'take a snapshot', never, error);
    }
  }

  /** Taking a snapshot ends its source; one that the platform lets go on is stopped, as is told of it. Never rejects. */
  async #stopSource(sandboxId: string): Promise<void> {
    try {
      await stopInCloud(this.#context, sandboxId, AbortSignal.timeout(FIND_MS));
    } catch (error) {
      this.#context.log.warn({ sandbox_id: sandboxId, err: error }, 'a snapshot did not stop its sandbox');
    }
  }

  /** The snapshot that was taken of a session, where the answer to its taking was lost; null where none shows. */
  async #takenOf(sessionId: string): Promise<SdkSnapshot | null> {
    const signal = AbortSignal.timeout(FIND_MS);
    try {
      const { snapshots } = await this.#context.cloud.snapshots(BATCH, null, signal);
      const found = snapshots.find(
        ({ sourceSessionId, status }) => sourceSessionId === sessionId && status === 'created',
      );
      return found === undefined ? null : await this.#context.cloud.snapshot(found.id, signal);
    } catch (error) {
      this.#context.log.warn({ err: error }, 'a snapshot in doubt could not be looked for');
      return null;
    }
  }

  async #viewOf(snapshot: SdkSnapshot): Promise<Snapshot> {
    const { snapshotId, sourceSessionId, sizeBytes, createdAt, expiresAt } = snapshot;
    return this.#told(
      snapshotId,
      sourceSessionId,
      sizeBytes,
      createdAt.getTime(),
      expiresAt?.getTime() ?? null,
    );
  }

  async #told(
    snapshotId: string,
    sourceSessionId: string,
    sizeBytes: number,
    createdAt: number,
    expiresAt: number | null,
  ): Promise<Snapshot> {
    const record = await readSnapshotRecord(this.#context.layout, snapshotId);
    const sourceSandboxId = record?.sourceSandboxId ?? sourceSessionId;
    return { snapshotId, sourceSandboxId, status: 'created', sizeBytes, createdAt, expiresAt };
  }
}

function notTaken(sandboxId: string, status: string): SandboxError {
  return new SandboxError('server', `Vercel could not take the snapshot: it is ${status}.`, {
    hint: 'Call sandbox_get to see whether the sandbox still runs, then sandbox_snapshot again.',
    details: { sandbox_id: sandboxId },
  });
}

function isThere(status: string, expiresAt: number | null): boolean {
  return status === 'created' && (expiresAt === null || expiresAt > Date.now());
}
