import type { SessionState } from '../../../registry/types.ts';
import { mapConcurrent } from '../../../shared/async/map-concurrent.ts';
import { SandboxError } from '../../../shared/errors.ts';
import { SESSIONS } from '../../../shared/store/collections.ts';
import type { Replica } from '../../../shared/store/replica.ts';
import { change } from '../../../shared/store/store.ts';
import { SessionHold } from './session-hold.ts';
import { parseSession, type SessionRecord } from './session-record.ts';

/** Replicas whose leases are read at a time. */
const AT_A_TIME = 8;

/** What identifies a session, for whoever creates it. */
export type NewSession = Pick<SessionRecord, 'sessionId' | 'principal' | 'conversation' | 'http'>;

/** A session that this replica serves from now on. */
export interface Claimed {
  readonly record: SessionRecord;
  readonly hold: SessionHold;
}

/** The sessions of all replicas: who serves which. */
export class SessionDirectory {
  readonly replica: Replica;

  constructor(replica: Replica) {
    this.replica = replica;
  }

  /** @throws SandboxError `unavailable` once others may serve what this replica served */
  requireCurrent(): void {
    if (this.replica.isCurrent()) return;
    throw new SandboxError(
      'unavailable',
      'This replica has lost its connection to the others, or is ending.',
      {
        hint: 'Try again in a moment.',
      },
    );
  }

  /** Adds a session that this replica serves. Null if there is one already. */
  async add(session: NewSession, state: Omit<SessionState, 'sessionId'>): Promise<Claimed | null> {
    this.requireCurrent();
    const { id, store } = this.replica;
    const { created, currentSandboxId } = state;
    const record: SessionRecord = {
      version: 1,
      ...session,
      replica: id,
      epoch: 1,
      isEnding: false,
      created,
      currentSandboxId,
    };
    const isNew = await store.swap(SESSIONS, session.sessionId, null, JSON.stringify(record));
    return isNew ? this.#claimed(record) : null;
  }

  async read(sessionId: string): Promise<SessionRecord | null> {
    return parseSession(await this.replica.store.read(SESSIONS, sessionId));
  }

  /**
   * Takes a session for this replica unless a living one serves it; then its URL is returned. Null if there is
   * no such session.
   */
  async claim(sessionId: string): Promise<Claimed | { readonly servedAt: string } | null> {
    const { id, store } = this.replica;
    for (;;) {
      this.requireCurrent();
      const text = await store.read(SESSIONS, sessionId);
      const record = parseSession(text);
      if (record === null) return null;
      if (record.replica === id) return this.#claimed(record);
      const servedAt = record.replica === null ? null : await this.replica.urlOf(record.replica);
      if (servedAt !== null) return { servedAt };
      const taken = { ...record, replica: id, epoch: record.epoch + 1 };
      if (await store.swap(SESSIONS, sessionId, text, JSON.stringify(taken))) return this.#claimed(taken);
    }
  }

  /** The sessions that no living replica serves. */
  async orphans(): Promise<SessionRecord[]> {
    const records = [...(await this.replica.store.all(SESSIONS)).values()]
      .map(parseSession)
      .filter((record) => record !== null);
    const others = new Set(records.flatMap(({ replica }) => (replica === null ? [] : [replica])));
    others.delete(this.replica.id);
    const living = new Set([this.replica.id]);
    await mapConcurrent([...others], AT_A_TIME, async (other) => {
      if ((await this.replica.urlOf(other)) !== null) living.add(other);
    });
    return records.filter(({ replica }) => replica === null || !living.has(replica));
  }

  /** Proves to a replica that another one passes a request on. The same for all replicas of a store. */
  async secret(generate: () => string): Promise<string> {
    const text = await change(this.replica.store, 'replicas', 'secret', (present) => present ?? generate());
    return text ?? generate();
  }

  #claimed(record: SessionRecord): Claimed {
    return { record, hold: new SessionHold(this.replica, record) };
  }
}
