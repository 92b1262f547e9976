import type { ListQuery, Page, Snapshot } from '../../engines/engine.ts';
import { SandboxError } from '../../shared/errors.ts';
import type { RegistryContext } from '../context.ts';
import { isOwn } from '../records/is-own.ts';
import { findSnapshot, forgetIfMissing, ownershipOf, requireSnapshots } from '../records/snapshot-lookup.ts';
import type { TaskScope } from '../sandboxes/task-scope.ts';
import type { SessionSnapshots, SnapshotDependents } from '../types.ts';
import { dependentsOf } from './snapshot-dependents.ts';

/** Page size of requests for snapshots to the engine. */
const BATCH = 100;
/** How many deleted snapshots are remembered with their last state. */
const MAX_DELETED = 100;

/** The snapshots of one principal, as one session sees them. */
export class PrincipalSnapshots implements SessionSnapshots {
  readonly #context: RegistryContext;
  readonly #principal: string;
  readonly #scope: TaskScope;
  /** Snapshots that this session has deleted, as returned then: deleting one again is no error. */
  readonly #deleted = new Map<string, Snapshot>();

  constructor(context: RegistryContext, principal: string, scope: TaskScope) {
    this.#context = context;
    this.#principal = principal;
    this.#scope = scope;
  }

  async get(snapshotId: string, signal: AbortSignal): Promise<Snapshot> {
    this.#scope.requireOpen();
    return findSnapshot(this.#context, this.#principal, snapshotId, signal);
  }

  async list(query: ListQuery, signal: AbortSignal): Promise<Page<Snapshot>> {
    this.#scope.requireOpen();
    const snapshots = requireSnapshots(this.#context);
    const items: Snapshot[] = [];
    for (let { cursor } = query; ; ) {
      // The engine's order and cursors are kept. Snapshots of other principals are skipped, however many
      // there are.
      const limit = Math.min(BATCH, query.limit - items.length);
      const page = await snapshots.list({ ...query, cursor, limit }, signal);
      for (const snapshot of page.items) if (await this.#isOwn(snapshot)) items.push(snapshot);
      cursor = page.nextCursor;
      if (cursor === null || items.length >= query.limit) return { items, nextCursor: cursor };
    }
  }

  async delete(snapshotId: string, signal: AbortSignal): Promise<Snapshot> {
    this.#scope.requireOpen();
    const before = this.#deleted.get(snapshotId);
    if (before !== undefined) return before;
    await this.get(snapshotId, signal);
    const deleted = requireSnapshots(this.#context).delete(snapshotId, signal);
    const snapshot = await forgetIfMissing(this.#context, snapshotId, deleted);
    await this.#context.snapshots.remove(snapshotId);
    this.#remember(snapshot);
    return snapshot;
  }

  async dependents(snapshotId: string): Promise<SnapshotDependents> {
    this.#scope.requireOpen();
    return dependentsOf(this.#context, this.#principal, snapshotId);
  }

  #remember(snapshot: Snapshot): void {
    this.#deleted.set(snapshot.snapshotId, snapshot);
    const [oldest] = this.#deleted.keys();
    if (this.#deleted.size > MAX_DELETED && oldest !== undefined) this.#deleted.delete(oldest);
  }

  async #isOwn(snapshot: Snapshot): Promise<boolean> {
    try {
      const record = await ownershipOf(this.#context, snapshot);
      return record !== null && isOwn(this.#context, this.#principal, record);
    } catch (error) {
      // The store has logged the unreadable record; it must not hide the other snapshots.
      if (error instanceof SandboxError && error.code === 'internal') return false;
      throw error;
    }
  }
}
