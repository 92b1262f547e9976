import type { EventStore } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';

interface StoredEvent {
  readonly streamId: string;
  readonly message: JSONRPCMessage;
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
  /** In order of their numbers. */
  readonly #events = new Map<number, StoredEvent>();
  /** Streams that lost an event, with the number of the last one lost. */
  readonly #lost = new Map<string, number>();
  #bytes = 0;
  #next = 1;

  async storeEvent(streamId: string, message: JSONRPCMessage): Promise<string> {
    const number = this.#next;
    this.#next += 1;
    const hasContent = Object.keys(message).length > 0;
    const bytes = hasContent ? Buffer.byteLength(JSON.stringify(message)) : 0;
    this.#events.set(number, { streamId, message, bytes, hasContent });
    this.#bytes += bytes;
    this.#evict();
    return `${streamId}:${number}`;
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
