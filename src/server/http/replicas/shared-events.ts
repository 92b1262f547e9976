/** The events of a session in the store, so that its streams can be resumed at another replica. */
import { AsyncLocalStorage } from 'node:async_hooks';
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import type { Logger } from '../../../shared/log.ts';
import { interrupted } from '../../../shared/session-ended.ts';
import { change, type Store } from '../../../shared/store/store.ts';
import { renderError } from '../../render.ts';
import { BoundedEventStore, type EventJournal, type StoredEvent } from '../event-store.ts';
import type { SessionHold } from './session-hold.ts';

const RequestId = z.union([z.string(), z.number()]);
/** As JSON-RPC has it; the protocol's library checks the rest. */
const Message = z.looseObject({ jsonrpc: z.literal('2.0').optional(), id: RequestId.optional() });
const Stored = z.looseObject({
  streamId: z.string(),
  message: Message,
  /** The call that the stream answers, in the event that opens it. */
  call: z.strictObject({ id: RequestId, tool: z.string() }).optional(),
});

type Call = NonNullable<z.infer<typeof Stored>['call']>;

const CallMessage = z.looseObject({
  id: RequestId,
  method: z.literal('tools/call'),
  params: z.looseObject({ name: z.string() }),
});

const current = new AsyncLocalStorage<Call | null>();

/** Runs `work`, which opens the stream of a message, so that the stream can be answered if this replica ends. */
export function openingStream<Result>(message: unknown, work: () => Promise<Result>): Promise<Result> {
  const call = CallMessage.safeParse(message).data;
  return current.run(call === undefined ? null : { id: call.id, tool: call.params.name }, work);
}

/** An event store that writes to the store as well. */
export class SharedEvents {
  readonly events: BoundedEventStore;
  readonly #store: Store;
  readonly #collection: string;
  readonly #hold: SessionHold;
  readonly #log: Logger;
  #isRestoring = false;

  constructor(store: Store, hold: SessionHold, log: Logger) {
    this.#store = store;
    this.#collection = hold.events;
    this.#hold = hold;
    this.#log = log;
    const journal: EventJournal = {
      stored: (number, event) => this.#stored(number, event),
      removed: (number) => this.#removed(number),
    };
    this.events = new BoundedEventStore(journal);
  }

  /** What `work` stores is not kept: it repeats what the client has seen. */
  async withoutKeeping(work: () => Promise<void>): Promise<void> {
    this.#isRestoring = true;
    try {
      await work();
    } finally {
      this.#isRestoring = false;
    }
  }

  /**
   * Takes over the events of the replica that served the session before, and answers the calls that it left
   * without an answer: whether they took effect is for the client to find out.
   */
  async restore(): Promise<void> {
    const texts = await this.#store.all(this.#collection);
    const stored = [...texts]
      .flatMap(([id, text]) => {
        const event = parseEvent(text);
        return event === null ? [] : [[Number(id), event] as const];
      })
      .sort(([one], [other]) => one - other);
    await this.withoutKeeping(async () =>
      this.events.restore(stored.map(([number, { streamId, message }]) => [number, { streamId, message }])),
    );
    for (const [, { streamId, call }] of stored) {
      if (call === undefined || stored.some(([, event]) => answers(event, streamId, call))) continue;
      const result = renderError(interrupted(call.tool));
      await this.events.storeEvent(streamId, { jsonrpc: '2.0', id: call.id, result });
    }
  }

  async #stored(number: number, event: StoredEvent): Promise<void> {
    if (this.#isRestoring || !this.#hold.mayCount) return;
    const call = Object.keys(event.message).length === 0 ? current.getStore() : null;
    try {
      const text = JSON.stringify({ ...event, ...(call && { call }) });
      await change(this.#store, this.#collection, String(number), () => text);
    } catch (error) {
      // The client gets it; only resuming at another replica lacks it.
      this.#log.warn({ err: error }, 'Could not keep an event for other replicas.');
    }
  }

  #removed(number: number): void {
    if (this.#isRestoring || !this.#hold.mayCount) return;
    change(this.#store, this.#collection, String(number), () => null).catch((error: unknown) =>
      this.#log.debug({ err: error }, 'cannot remove an old event'),
    );
  }
}

interface ParsedEvent {
  readonly streamId: string;
  readonly message: JSONRPCMessage;
  readonly call?: Call | undefined;
}

function parseEvent(text: string): ParsedEvent | null {
  try {
    const data: unknown = JSON.parse(text);
    if (!Stored.safeParse(data).success) return null;
    // Written by `#stored` of this program.
    const event: ParsedEvent = JSON.parse(text);
    return event;
  } catch {
    return null;
  }
}

function answers({ streamId, message }: ParsedEvent, stream: string, { id }: Call): boolean {
  if (streamId !== stream || !('id' in message) || message.id !== id) return false;
  return 'result' in message || 'error' in message;
}
