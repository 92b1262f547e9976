/** Snapshots of the stand-in engine: entries of a map; taking one ends the sandbox. */
import type { ListQuery, Page, Snapshot, Snapshots } from '../../src/engines/engine.ts';
import { unknownSnapshot } from '../../src/shared/id-errors.ts';
import { newSnapshotId } from '../../src/shared/ids.ts';
import type { MemoryEngine } from './memory-engine.ts';

export class MemorySnapshots implements Snapshots {
  readonly #engine: MemoryEngine;
  readonly #now: () => number;
  readonly #snapshots = new Map<string, Snapshot>();

  constructor(engine: MemoryEngine, now: () => number) {
    this.#engine = engine;
    this.#now = now;
  }

  async take(sandboxId: string, expirationMs: number | null): Promise<Snapshot> {
    await this.#engine.takeTime(sandboxId, 'snapshotting');
    this.#engine.endFromOutside(sandboxId, 'snapshot');
    const createdAt = this.#now();
    const snapshot: Snapshot = {
      snapshotId: newSnapshotId(),
      sourceSandboxId: sandboxId,
      status: 'created',
      sizeBytes: 1,
      createdAt,
      expiresAt: expirationMs === null || expirationMs === 0 ? null : createdAt + expirationMs,
    };
    this.#snapshots.set(snapshot.snapshotId, snapshot);
    return snapshot;
  }

  async get(snapshotId: string): Promise<Snapshot> {
    const snapshot = this.#snapshots.get(snapshotId);
    const over = snapshot?.expiresAt !== null && (snapshot?.expiresAt ?? 0) <= this.#now();
    if (snapshot === undefined || over) throw unknownSnapshot(snapshotId);
    return snapshot;
  }

  async list(query: ListQuery): Promise<Page<Snapshot>> {
    const all = [...this.#snapshots.values()].reverse();
    const start = query.cursor === null ? 0 : Number(query.cursor);
    const end = start + query.limit;
    return { items: all.slice(start, end), nextCursor: end < all.length ? String(end) : null };
  }

  async delete(snapshotId: string): Promise<Snapshot> {
    const snapshot = await this.get(snapshotId);
    this.#snapshots.delete(snapshotId);
    return { ...snapshot, status: 'deleted' };
  }
}
