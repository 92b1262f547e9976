import type { Logger } from '../../shared/log.ts';
import type { Records } from '../records/records.ts';
import type { OwnershipRecord } from '../records/sandbox-record.ts';
import type { SessionState } from '../types.ts';

/** Ended sandboxes that are remembered. Their records on disk stay for the retention, so any can be read. */
const MAX_ENDED = 20;

interface Member {
  readonly record: OwnershipRecord;
  readonly ownership: 'owned' | 'attached';
}

/**
 * The sandboxes that one session created or attached to, and which of them is current. Quotas limit the living
 * ones; of the ended, the oldest are forgotten, since a session may go on for weeks.
 */
export class SessionSandboxes {
  readonly #sessionId: string;
  readonly #store: Pick<Records<OwnershipRecord>, 'read'>;
  readonly #log: Logger;
  readonly #members = new Map<string, Member>();
  readonly #onChange: () => void;
  #created: number;
  #current: string | null;

  /** `onChange` is called when another sandbox is current, or one more was created. */
  constructor(
    { sessionId, created, currentSandboxId }: SessionState,
    store: Pick<Records<OwnershipRecord>, 'read'>,
    log: Logger,
    onChange: () => void = () => {},
  ) {
    this.#sessionId = sessionId;
    this.#created = created;
    this.#current = currentSandboxId;
    this.#store = store;
    this.#log = log;
    this.#onChange = onChange;
  }

  /** How many the session has created, including forgotten ones. */
  get created(): number {
    return this.#created;
  }

  get current(): string | null {
    return this.#current;
  }

  get members(): Member[] {
    return [...this.#members.values()];
  }

  /** Records of live sandboxes that the session created, as far as it knows. */
  get liveOwned(): OwnershipRecord[] {
    return this.members
      .filter(({ ownership, record }) => ownership === 'owned' && record.state === 'live')
      .map(({ record }) => record);
  }

  /** Whether it is among those that the session created; false for a forgotten one. */
  owns(sandboxId: string): boolean {
    return this.#members.get(sandboxId)?.ownership === 'owned';
  }

  /** Adds a sandbox that the session creates, or replaces its record. */
  own(record: OwnershipRecord, current: boolean): void {
    const isNew = !this.owns(record.sandboxId);
    if (isNew) this.#created += 1;
    this.#add(record, 'owned');
    const selects = current && this.#current !== record.sandboxId;
    if (current) this.#current = record.sandboxId;
    if (isNew || selects) this.#onChange();
  }

  /** Adds a sandbox that the session created on another replica. */
  restore(record: OwnershipRecord): void {
    this.#add(record, 'owned');
  }

  /** Selects a sandbox, and adds it if the session does not know it, or has forgotten it. */
  select(record: OwnershipRecord): void {
    const selects = this.#current !== record.sandboxId;
    this.#current = record.sandboxId;
    if (selects) this.#onChange();
    if (this.#members.has(record.sandboxId)) return;
    this.#add(record, record.owner?.sessionId === this.#sessionId ? 'owned' : 'attached');
  }

  #add(record: OwnershipRecord, ownership: Member['ownership']): void {
    this.#members.set(record.sandboxId, { record, ownership });
    if (this.#members.size <= MAX_ENDED) return;
    this.#forgetOldest().catch((error: unknown) =>
      this.#log.warn({ err: error }, 'Could not tell which sandboxes have ended.'),
    );
  }

  async #forgetOldest(): Promise<void> {
    const ended: string[] = [];
    for (const sandboxId of [...this.#members.keys()]) {
      if (sandboxId === this.#current) continue;
      const present = await this.#store.read(sandboxId);
      if (present === null) this.#members.delete(sandboxId);
      else if (present.state === 'ended') ended.push(sandboxId);
    }
    for (const sandboxId of ended.slice(0, Math.max(0, ended.length - MAX_ENDED)))
      if (sandboxId !== this.#current) this.#members.delete(sandboxId);
  }
}
