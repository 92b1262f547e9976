import { setTimeout as delay } from 'node:timers/promises';
import type { SessionState } from '../../../registry/types.ts';
import { SESSIONS } from '../../../shared/store/collections.ts';
import type { Replica } from '../../../shared/store/replica.ts';
import { change } from '../../../shared/store/store.ts';
import { parseSession, type SessionRecord } from './session-record.ts';

/** How long a change is tried again while the store does not answer: longer than this replica keeps its lease then. */
const INSIST_MS = 15_000;
const PAUSE_MS = 100;

/**
 * This replica's right to a session. It ends when another replica takes the session over, after this one could
 * not renew its lease in time: every change checks it, so that only one of them ends what the session owns.
 */
export class SessionHold {
  readonly sessionId: string;
  readonly epoch: number;
  readonly #replica: Replica;
  readonly #replicaId: string;
  #last: Promise<unknown> = Promise.resolve();

  constructor(replica: Replica, { sessionId, epoch }: Pick<SessionRecord, 'sessionId' | 'epoch'>) {
    this.sessionId = sessionId;
    this.#replica = replica;
    this.#replicaId = replica.id;
    this.epoch = epoch;
  }

  /** False once another replica may have it: what happens to the session here no longer counts. */
  get mayCount(): boolean {
    return this.#replica.isCurrent() && this.#replica.id === this.#replicaId;
  }

  /** Where the events of its streams are kept. */
  get events(): string {
    return `events:${this.sessionId}`;
  }

  /** Stores the state for the replica that takes over. Rejects never; changes are stored in their order. */
  remember({ created, currentSandboxId }: SessionState, onError: (error: unknown) => void): void {
    this.#last = this.#last
      .then(() => this.#update((record) => ({ ...record, created, currentSandboxId })))
      .catch(onError);
  }

  /**
   * Decides that the session ends. From then on whoever serves it only ends it. False if another replica has
   * it, or will have it because this one does not reach the store: nothing of it may be ended here. Never rejects.
   */
  async beginEnd(): Promise<boolean> {
    await this.#last;
    return this.#insist((record) => ({ ...record, isEnding: true }));
  }

  /** Removes the session, which has ended. */
  async remove(): Promise<void> {
    const { store } = this.#replica;
    const isOurs = await this.#insist(() => null);
    // An attempt that the store did not answer may have removed it: then nobody else drops its events.
    if (isOurs || (await store.read(SESSIONS, this.sessionId)) === null) await store.drop(this.events);
  }

  /** Leaves the session to another replica. */
  async release(): Promise<void> {
    await this.#last;
    await this.#update((record) => ({ ...record, replica: null }));
  }

  /**
   * The same as `#update`, again and again while the store does not answer: as long as this replica lives, nobody
   * else ends the session. Without the store it loses its lease soon, and others take the session over.
   */
  async #insist(changed: (record: SessionRecord) => SessionRecord | null): Promise<boolean> {
    const until = performance.now() + INSIST_MS;
    while (this.mayCount && performance.now() < until) {
      try {
        return await this.#update(changed);
      } catch {
        await delay(PAUSE_MS);
      }
    }
    return false;
  }

  /** False if this replica no longer has the session. */
  async #update(changed: (record: SessionRecord) => SessionRecord | null): Promise<boolean> {
    let isHeld = false;
    await change(this.#replica.store, SESSIONS, this.sessionId, (text) => {
      const record = parseSession(text);
      isHeld =
        this.#replica.isCurrent() && record?.replica === this.#replicaId && record.epoch === this.epoch;
      if (record === null || !isHeld) return text;
      const after = changed(record);
      return after === null ? null : JSON.stringify(after);
    });
    return isHeld;
  }
}
