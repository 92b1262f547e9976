/**
 * The snapshots of the stand-in: which sandbox each belongs to, how long it is kept, and those that were
 * deleted.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Engine, Snapshot, Snapshots } from '../../../../src/engines/engine.ts';
import { IdMap } from './id-map.ts';
import { type SandboxRecord, type SessionRecord, snapshotPayload } from './records.ts';
import { never } from './work.ts';

const COUNT_POLL_MS = 20;
const EVERYTHING = { limit: 100, since: null, until: null, cursor: null };

export class CloudSnapshots {
  readonly ids = new IdMap('snap');
  readonly #engine: Engine;
  readonly #sourceOf: (snapshot: Snapshot) => SessionRecord | null;
  /** By the name of the sandbox, oldest first, in the words of the engine below. */
  readonly #ofSandbox = new Map<string, string[]>();
  /** Which the service still lists and returns. */
  readonly #deleted = new Map<string, Listed>();

  /** @param sourceOf the session that a snapshot was taken of; null for one that is not known any more */
  constructor(engine: Engine, sourceOf: (snapshot: Snapshot) => SessionRecord | null) {
    this.#engine = engine;
    this.#sourceOf = sourceOf;
  }

  /** Takes one of a running session, which ends it, and deletes those that its retention no longer keeps. */
  async take({ below, sandbox }: SessionRecord, expirationMs: number | null): Promise<Snapshot> {
    const taken = await this.#below.take(below, expirationMs, never());
    sandbox.currentSnapshotId = this.ids.above(taken.snapshotId);
    const own = this.#ofSandbox.get(sandbox.name) ?? [];
    this.#ofSandbox.set(sandbox.name, own);
    own.push(taken.snapshotId);
    const { count = Number.POSITIVE_INFINITY, deleteEvicted = true } = sandbox.keepLastSnapshots ?? {};
    while (own.length > count) {
      const evicted = own.shift();
      if (evicted !== undefined && deleteEvicted) await this.delete(evicted);
    }
    return taken;
  }

  /** By the service's id. Rejects as the engine below does for one that it does not have. */
  get(id: string): Promise<Snapshot> {
    return this.#below.get(this.ids.below(id), never());
  }

  /** Null unless it was deleted. */
  deleted(id: string): object | null {
    return this.#deleted.get(id)?.payload ?? null;
  }

  /** On the wire, newest first; null as the name for those of every sandbox. */
  async list(name: string | null): Promise<object[]> {
    const { items } = await this.#below.list(EVERYTHING, never());
    const found = [...this.#deleted.values()];
    for (const snapshot of items) found.push(this.#listed(snapshot, await this.payloadOf(snapshot)));
    return found
      .filter((each) => name === null || each.sandbox === name)
      .toSorted((a, b) => b.createdAt - a.createdAt)
      .map(({ payload }) => payload);
  }

  /** By the id of the engine below. */
  async delete(below: string): Promise<object> {
    const snapshot = await this.#below.get(below, never());
    const payload = { ...(await this.payloadOf(snapshot)), status: 'deleted', updatedAt: Date.now() };
    await this.#below.delete(below, never());
    this.#deleted.set(this.ids.above(below), this.#listed(snapshot, payload));
    return payload;
  }

  #listed(snapshot: Snapshot, payload: object): Listed {
    return {
      sandbox: this.#sourceOf(snapshot)?.sandbox.name ?? null,
      createdAt: snapshot.createdAt,
      payload,
    };
  }

  /** With its size, which the engine below may still be counting. */
  async payloadOf(snapshot: Snapshot): Promise<object> {
    let counted = snapshot;
    while (counted.sizeBytes === null) {
      await delay(COUNT_POLL_MS);
      counted = await this.#below.get(snapshot.snapshotId, never());
    }
    return snapshotPayload(this.#sourceOf(snapshot), this.ids.above(counted.snapshotId), counted);
  }

  /** Deletes those of a deleted sandbox that no other one started from or would start from. */
  async deleteOrphans(name: string, others: readonly SandboxRecord[]): Promise<void> {
    const used = others.flatMap(({ currentSnapshotId, sessions }) => [
      currentSnapshotId,
      ...sessions.map(({ sourceSnapshotId }) => sourceSnapshotId),
    ]);
    for (const below of this.#ofSandbox.get(name) ?? [])
      if (!used.includes(this.ids.above(below))) await this.delete(below);
    this.#ofSandbox.delete(name);
  }

  get #below(): Snapshots {
    const { snapshots } = this.#engine;
    if (snapshots === undefined) throw new Error('the engine below keeps no snapshots');
    return snapshots;
  }
}

interface Listed {
  /** Null for one that is not known any more. */
  sandbox: string | null;
  createdAt: number;
  /** On the wire. */
  payload: object;
}
