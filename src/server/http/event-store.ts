import type { EventStore } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';

export interface StoredEvent {
  readonly streamId: string;
  readonly message: JSONRPCMessage;
}

/** Keeps the events elsewhere as well. */
export interface EventJournal {
  /** The event may be sent when this resolves. */
  stored(number: number, event: StoredEvent): Promise<void>;
  removed(number: number): void;
}

interface KeptEvent extends StoredEvent {
  readonly bytes: number;
  /** False for the empty event that only gives a stream its first id. */
  readonly hasContent: boolean;
}

const MAX_EVENTS = 256;
const MAX_BYTES = 512 * 1024;

/**
 * The last events of one session, so that a client whose stream broke can resume it. Bounded: the oldest go
 * first, and only the newest may be larger than the limit. A stream that has lost an event is not resumed,
 * since its client would wait for the lost answer.
 */
export class BoundedEventStore implements EventStore {
  readonly #journal: EventJournal | null;
  /** In order of their numbers. */
  readonly #events = new Map<number, KeptEvent>();
  /** Streams that lost an event, with the number of the last one lost. */
  readonly #lost = new Map<string, number>();
  #bytes = 0;
  #next = 1;

  constructor(journal: EventJournal | null = null) {
    this.#journal = journal;
  }

  async storeEvent(streamId: string, message: JSONRPCMessage): Promise<string> {
    const number = this.#next;
    this.#keep(number, { streamId, message });
    await this.#journal?.stored(number, { streamId, message });
    return `${streamId}:${number}`;
  }

  /** Takes over the events of a journal, in the order of their numbers; numbers go on after the last one. */
  restore(events: readonly (readonly [number, StoredEvent])[]): void {
    for (const [number, event] of events) this.#keep(number, event);
  }

  /** Undefined if the id is not one of this session, or if events after it are lost. */
  async getStreamIdForEventId(eventId: string): Promise<string | undefined> {
    return this.#find(eventId)?.streamId;
  }

  /** @throws Error for an id that `getStreamIdForEventId` does not know */
  async replayEventsAfter(
    lastEventId: string,
    { send }: { send: (eventId: string, message: JSONRPCMessage) => Promise<void> },
  ): Promise<string> {
    const last = this.#find(lastEventId);
    if (last === null) throw new Error('The event id is unknown.');
    for (const [number, event] of [...this.#events]) {
      if (number > last.number && event.streamId === last.streamId && event.hasContent)
        await send(`${event.streamId}:${number}`, event.message);
    }
    return last.streamId;
  }

  #keep(number: number, event: StoredEvent): void {
    this.#next = number + 1;
    const hasContent = Object.keys(event.message).length > 0;
    const bytes = hasContent ? Buffer.byteLength(JSON.stringify(event.message)) : 0;
    this.#events.set(number, { ...event, bytes, hasContent });
    this.#bytes += bytes;
    this.#evict();
  }

  #find(eventId: string): { streamId: string; number: number } | null {
    const [, streamId = '', digits = ''] = /^([\w-]{1,64}):(\d{1,15})$/.exec(eventId) ?? [];
    const number = Number(digits);
    if (streamId === '' || number < 1 || number >= this.#next) return null;
    if (number < (this.#lost.get(streamId) ?? 0)) return null;
    const event = this.#events.get(number);
    // An event that was dropped is trusted if the rest of its stream is still here.
    const isKnown = event === undefined ? this.#isStored(streamId) : event.streamId === streamId;
    return isKnown ? { streamId, number } : null;
  }

  #isStored(streamId: string): boolean {
    return [...this.#events.values()].some((event) => event.streamId === streamId);
  }

  #evict(): void {
    for (const [number, { streamId, bytes, hasContent }] of this.#events) {
      if (this.#events.size <= 1) return;
      if (this.#events.size <= MAX_EVENTS && this.#bytes <= MAX_BYTES) return;
      this.#events.delete(number);
      this.#bytes -= bytes;
      this.#journal?.removed(number);
      if (hasContent) this.#markLost(streamId, number);
    }
  }

  #markLost(streamId: string, number: number): void {
    this.#lost.delete(streamId);
    this.#lost.set(streamId, number);
    const [oldest] = this.#lost.keys();
    if (this.#lost.size > MAX_EVENTS && oldest !== undefined) this.#lost.delete(oldest);
  }
}
