import { completesWithin, systemClock } from '../../../shared/clock.ts';
import { SandboxError } from '../../../shared/errors.ts';
import { paginate } from '../../../shared/pagination.ts';
import type { ListQuery, Page, Snapshot, Snapshots } from '../../engine.ts';
import type { OciContext } from '../context.ts';
import { findFreezer } from '../host/cgroups.ts';
import type { Host } from '../host/host.ts';
import { readRecord } from '../state/sandbox-record.ts';
import {
  hasExpired,
  listSnapshotIds,
  readLiveSnapshot,
  readSnapshot,
  type SnapshotRecord,
  updateSnapshot,
} from '../state/snapshot-record.ts';
import { countBytes } from '../storage/disk-usage.ts';
import { collectSnapshots } from '../storage/snapshot-gc.ts';
import { copySnapshot } from './copy-snapshot.ts';
import { takeSnapshot } from './take-snapshot.ts';

/** How long to wait for a snapshot's size; after that it is null until it is known. */
const COUNT_MS = 500;

/** The snapshots of this state directory. */
export class OciSnapshots implements Snapshots {
  readonly #context: OciContext;
  readonly #closing = new AbortController();
  readonly #counting = new Map<string, Promise<void>>();

  constructor(context: OciContext) {
    this.#context = context;
  }

  async take(sandboxId: string, expirationMs: number | null, signal: AbortSignal): Promise<Snapshot> {
    const snapshotId = await takeSnapshot(this.#context, sandboxId, expirationMs, signal);
    return this.#counted(snapshotId);
  }

  async copy(sandboxId: string, expirationMs: number | null, signal: AbortSignal): Promise<Snapshot> {
    return this.#counted(await copySnapshot(this.#context, sandboxId, expirationMs, signal));
  }

  async canCopy(sandboxId: string): Promise<boolean> {
    const { layout } = await this.#context.host();
    return findFreezer((await readRecord(layout, sandboxId)).cgroups) !== null;
  }

  async get(snapshotId: string): Promise<Snapshot> {
    const { layout } = await this.#context.host();
    await readLiveSnapshot(layout, snapshotId);
    return this.#counted(snapshotId);
  }

  async list(query: ListQuery): Promise<Page<Snapshot>> {
    if (!(await this.#context.hasState())) return { items: [], nextCursor: null };
    const host = await this.#context.host();
    const all = await this.#readable(host);
    if (all.some((record) => record.status === 'created' && hasExpired(record))) {
      await this.#collect();
    }
    const live = all.filter((record) => record.status === 'created' && !hasExpired(record));
    const page = paginate(live, query, ({ snapshotId, createdAt }) => ({ id: snapshotId, createdAt }));
    const items = await Promise.all(page.items.map((record) => this.#view(host, record)));
    return { items, nextCursor: page.nextCursor };
  }

  async delete(snapshotId: string): Promise<Snapshot> {
    const host = await this.#context.host();
    await readLiveSnapshot(host.layout, snapshotId);
    const record = await updateSnapshot(host.layout, snapshotId, (present) => ({
      ...present,
      status: 'deleted',
    }));
    const view = await this.#view(host, record);
    await this.#collect();
    return view;
  }

  /** Cancels size counts in progress; the next `get` counts again. */
  async close(): Promise<void> {
    this.#closing.abort();
    await Promise.all(this.#counting.values());
  }

  /** A damaged snapshot does not hide the others. */
  async #readable(host: Host): Promise<SnapshotRecord[]> {
    const records: SnapshotRecord[] = [];
    for (const snapshotId of await listSnapshotIds(host.layout)) {
      try {
        records.push(await readSnapshot(host.layout, snapshotId));
      } catch (error) {
        if (!isNotFound(error)) this.#context.log.warn({ snapshotId, err: error }, 'cannot read a snapshot');
      }
    }
    return records;
  }

  /** Never rejects: what cannot be removed now is tried again next time. */
  async #collect(): Promise<void> {
    try {
      await collectSnapshots(this.#context);
    } catch (error) {
      this.#context.log.warn({ err: error }, 'cannot remove unused snapshots yet');
    }
  }

  /** The snapshot, after waiting briefly for its size. */
  async #counted(snapshotId: string): Promise<Snapshot> {
    const host = await this.#context.host();
    const record = await readSnapshot(host.layout, snapshotId);
    const uncounted: Promise<void>[] = [];
    for (const layer of record.layers) {
      if ((await this.#bytesOf(host, layer.snapshotId)) === null)
        uncounted.push(this.#count(host, layer.snapshotId));
    }
    await completesWithin(systemClock, COUNT_MS, Promise.all(uncounted));
    return this.#view(host, await readSnapshot(host.layout, snapshotId));
  }

  /** Counts a layer's size, one count per layer at a time, and records it. Never rejects. */
  #count(host: Host, snapshotId: string): Promise<void> {
    const running = this.#counting.get(snapshotId);
    if (running !== undefined) return running;
    const count = async () => {
      try {
        const ownBytes = await countBytes(host, host.layout.snapshot(snapshotId).layer, this.#closing.signal);
        await updateSnapshot(host.layout, snapshotId, (record) => ({ ...record, ownBytes }));
      } catch (error) {
        if (this.#closing.signal.aborted || isNotFound(error)) return;
        this.#context.log.warn({ snapshotId, err: error }, 'cannot determine the size of a snapshot');
      } finally {
        this.#counting.delete(snapshotId);
      }
    };
    const counting = count();
    this.#counting.set(snapshotId, counting);
    return counting;
  }

  async #bytesOf(host: Host, snapshotId: string): Promise<number | null> {
    try {
      return (await readSnapshot(host.layout, snapshotId)).ownBytes;
    } catch (error) {
      if (isNotFound(error)) return 0;
      throw error;
    }
  }

  async #view(host: Host, record: SnapshotRecord): Promise<Snapshot> {
    const sizes = await Promise.all(record.layers.map(({ snapshotId }) => this.#bytesOf(host, snapshotId)));
    const known = sizes.filter((size) => size !== null);
    return {
      snapshotId: record.snapshotId,
      sourceSandboxId: record.sourceSandboxId,
      status: record.status,
      sizeBytes: known.length === sizes.length ? known.reduce((sum, size) => sum + size, 0) : null,
      createdAt: record.createdAt,
      expiresAt: record.expiresAt,
    };
  }
}

function isNotFound(error: unknown): boolean {
  return error instanceof SandboxError && error.code === 'not_found';
}
