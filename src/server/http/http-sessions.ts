import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js';
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';
import type { MovableSession, Registry, SessionEndReason, SessionOptions } from '../../registry/types.ts';
import { Lazy } from '../../shared/async/lazy.ts';
import type { Clock } from '../../shared/clock.ts';
import { namedSessionId } from '../../shared/ids.ts';
import type { Connection } from '../create-server.ts';
import type { ErrorReply } from '../parse-message.ts';
import type { ServerOptions } from '../tool-calls.ts';
import { BoundedEventStore } from './event-store.ts';
import { HttpSession } from './http-session.ts';
import { configOf } from './principal-folders.ts';
import { initializeAgain, initializeParams } from './replicas/initialize-again.ts';
import type { Claimed, SessionDirectory } from './replicas/session-directory.ts';
import type { SessionHold } from './replicas/session-hold.ts';
import { SharedEvents } from './replicas/shared-events.ts';
import { type Refusal, refuse, SESSION_NOT_FOUND } from './reply.ts';

/** Of the request that initializes a session which other replicas may serve. */
const MAX_INITIALIZE_BYTES = 65_536;

export interface HttpSessionsOptions extends Omit<ServerOptions, 'session'> {
  registry: Registry;
  clock: Clock;
  /** Null if no other replica serves the same sessions. */
  directory?: SessionDirectory | null;
}

type Library = typeof import('./legacy-library.ts');

/** Where a session is served. */
export type Found = { session: HttpSession } | { refused: Refusal } | { servedAt: string };

interface Opened {
  readonly transport: WebStandardStreamableHTTPServerTransport;
  readonly connection: Connection;
  readonly registrySession: MovableSession;
  readonly session: HttpSession;
}

/** The open sessions of all principals. */
export class HttpSessions {
  readonly #options: HttpSessionsOptions;
  readonly #library = new Lazy<Library>(() => import('./legacy-library.ts'));
  readonly #directory: SessionDirectory | null;
  readonly #byId = new Map<string, HttpSession>();
  /** Every session that has not ended, also those that are still being initialized. */
  readonly #all = new Set<HttpSession>();
  /** The principals of sessions that are being added to the directory. */
  readonly #adding: string[] = [];
  readonly #ending = new Set<Promise<void>>();
  readonly #resuming = new Map<string, Promise<HttpSession>>();

  constructor(options: HttpSessionsOptions) {
    this.#options = options;
    this.#directory = options.directory ?? null;
  }

  get size(): number {
    return this.#all.size;
  }

  /** The reply to an `initialize` that is not valid; null for any other message. */
  async initializeError(message: JSONRPCMessage): Promise<ErrorReply | null> {
    return (await this.#library.get()).initializeError(message);
  }

  /** Initializes a new session with its first message. */
  async open(
    principal: string,
    request: IncomingMessage,
    response: ServerResponse,
    body: unknown,
  ): Promise<void> {
    const library = await this.#library.get();
    // From here on without a pause until the session counts: otherwise many at once could exceed the limit.
    const refused = this.#atLimit(principal) ?? this.#tooLarge(body);
    if (refused !== null) return refuse(response, refused);
    const id = randomUUID();
    const session =
      this.#directory === null
        ? await this.#openHere(library, principal, id)
        : await this.#openShared(library, this.#directory, principal, id, body);
    await session.handle(request, response, body);
    // The transport refused the message.
    if (session.id === undefined) await this.#end(session, 'deleted');
  }

  /** The session with this id. Another principal's is unknown. */
  async find(principal: string, id: string): Promise<Found> {
    this.#directory?.requireCurrent();
    // One that is being resumed has its id before it has its events.
    const session = (await this.#resuming.get(id)) ?? this.#byId.get(id);
    if (session !== undefined && session.principal === principal) return { session };
    const message = 'Session not found; it may have expired. Initialize a new one.';
    const unknown = { refused: { status: 404, code: SESSION_NOT_FOUND, message } };
    if (this.#directory === null || session !== undefined) return unknown;
    const record = await this.#directory.read(namedSessionId(id));
    if (record?.http?.id !== id || record.principal !== principal || record.isEnding) return unknown;
    const claimed = await this.#directory.claim(record.sessionId);
    if (claimed === null) return unknown;
    return 'servedAt' in claimed ? claimed : { session: await this.resume(claimed) };
  }

  /** Continues a session that another replica served. One that it was ending is ended. */
  async resume(claimed: Claimed): Promise<HttpSession> {
    const id = claimed.record.http?.id ?? '';
    const open = this.#byId.get(id);
    if (open !== undefined && !this.#resuming.has(id)) {
      // Another request has resumed it meanwhile.
      if (open.hold?.epoch === claimed.hold.epoch) return open;
      await open.leave({ isLost: true });
    }
    const resuming = this.#resuming.get(id) ?? this.#resume(claimed, id);
    this.#resuming.set(id, resuming);
    try {
      return await resuming;
    } finally {
      this.#resuming.delete(id);
    }
  }

  delete(session: HttpSession): Promise<void> {
    return this.#end(session, 'deleted');
  }

  /** Resolves when no request of any session waits for an answer. */
  async answered(): Promise<void> {
    await Promise.all([...this.#all].map((session) => session.answered()));
  }

  /** Ends all sessions. Resolves when they, and those that were ending already, have ended. */
  async close(reason: SessionEndReason): Promise<void> {
    for (const session of [...this.#all]) void this.#end(session, reason);
    await Promise.all(this.#ending);
  }

  /** Leaves all sessions to other replicas. */
  async leave(options: { isLost: boolean }): Promise<void> {
    await Promise.all([...[...this.#all].map((session) => session.leave(options)), ...this.#ending]);
  }

  #atLimit(principal: string): Refusal | null {
    const { maxSessions, maxPrincipalSessions } = this.#options.config.http;
    const principals = [...[...this.#all].map((session) => session.principal), ...this.#adding];
    const own = principals.filter((one) => one === principal).length;
    if (own < maxPrincipalSessions && principals.length < maxSessions) return null;
    const [limit, subject] =
      own < maxPrincipalSessions ? [maxSessions, 'The server'] : [maxPrincipalSessions, 'This principal'];
    const message = `${subject} has reached its limit of ${limit} sessions. End one with DELETE, or try again later.`;
    return { status: 503, message, headers: { 'retry-after': '30' } };
  }

  /** What a session was initialized with is in the store, and every replica reads it every few seconds. */
  #tooLarge(body: unknown): Refusal | null {
    if (this.#directory === null) return null;
    if (Buffer.byteLength(JSON.stringify(body)) <= MAX_INITIALIZE_BYTES) return null;
    const message = `The initialize request exceeds the limit of ${MAX_INITIALIZE_BYTES} bytes.`;
    return { status: 413, message };
  }

  async #openHere(library: Library, principal: string, id: string): Promise<HttpSession> {
    const { session } = await this.#create(library, principal, id, new BoundedEventStore(), {});
    return session;
  }

  async #openShared(
    library: Library,
    directory: SessionDirectory,
    principal: string,
    id: string,
    body: unknown,
  ): Promise<HttpSession> {
    const state = { sessionId: namedSessionId(id), created: 0, currentSandboxId: null };
    const http = { id, initialize: initializeParams(body) };
    const { sessionId } = state;
    const session = { sessionId, principal, conversation: null, http };
    this.#adding.push(principal);
    const claimed = await directory.add(session, state).finally(() => {
      this.#adding.splice(this.#adding.indexOf(principal), 1);
    });
    if (claimed === null) throw new Error('The id of a new session was used before.');
    const { events } = this.#eventsOf(directory, claimed.hold);
    const opened = await this.#create(library, principal, id, events, this.#shared(claimed));
    opened.session.hold = claimed.hold;
    return opened.session;
  }

  async #resume(claimed: Claimed, id: string): Promise<HttpSession> {
    const { record, hold } = claimed;
    if (this.#directory === null || record.http === null)
      throw new Error('The session is not one over HTTP.');
    const library = await this.#library.get();
    const events = this.#eventsOf(this.#directory, hold);
    const opened = await this.#create(library, record.principal, id, events.events, this.#shared(claimed));
    const { session, transport, registrySession } = opened;
    session.hold = hold;
    try {
      const { initialize } = record.http;
      await events.withoutKeeping(() => initializeAgain(transport, id, initialize));
      await events.restore();
      await registrySession.resume();
    } catch (error) {
      await session.leave({ isLost: false });
      throw error;
    }
    if (record.isEnding) void this.#end(session, 'idle');
    else session.waitIdle();
    return session;
  }

  #eventsOf({ replica }: SessionDirectory, hold: SessionHold): SharedEvents {
    return new SharedEvents(replica.store, hold, this.#options.log);
  }

  /** The state of the session, and where its changes are stored. */
  #shared({ record, hold }: Claimed): SessionOptions {
    const { log } = this.#options;
    return {
      state: record,
      onChange: (state) =>
        hold.remember(state, (error) => log.warn({ err: error }, 'Could not store the state of a session.')),
    };
  }

  async #create(
    library: Library,
    principal: string,
    id: string,
    eventStore: BoundedEventStore,
    shared: SessionOptions,
  ): Promise<Opened> {
    const { registry, clock, config, log } = this.#options;
    // It may fail, and then there must not be a session yet.
    const ownConfig = configOf(config, principal);
    const registrySession = registry.openSession(principal, shared);
    const { transport, connection } = library.createEnds(
      { ...this.#options, session: registrySession, config: ownConfig },
      { id, eventStore, onInitialized: () => void this.#byId.set(id, session) },
    );
    const session: HttpSession = new HttpSession(
      { principal, connection, transport, session: registrySession },
      {
        clock,
        log,
        idleMs: config.http.sessionIdleMs,
        onEnd: (ended) => {
          this.#all.delete(ended);
          this.#byId.delete(id);
        },
      },
    );
    this.#all.add(session);
    await connection.server.connect(transport);
    return { transport, connection, registrySession, session };
  }

  #end(session: HttpSession, reason: SessionEndReason): Promise<void> {
    const ending = session.end(reason);
    this.#ending.add(ending);
    return ending.finally(() => this.#ending.delete(ending));
  }
}
