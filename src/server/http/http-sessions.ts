import { randomUUID } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { Registry, SessionEndReason } from '../../registry/types.ts';
import type { Clock } from '../../shared/clock.ts';
import { createServer } from '../create-server.ts';
import type { ServerOptions } from '../tool-calls.ts';
import { BoundedEventStore } from './event-store.ts';
import { HttpSession } from './http-session.ts';
import { configOf } from './principal-folders.ts';
import { type Refusal, refuse, SESSION_NOT_FOUND } from './reply.ts';

export interface HttpSessionsOptions extends Omit<ServerOptions, 'session'> {
  registry: Registry;
  clock: Clock;
}

/** The open sessions of all principals. */
export class HttpSessions {
  readonly #options: HttpSessionsOptions;
  readonly #byId = new Map<string, HttpSession>();
  /** Every session that has not ended, also those that are still being initialized. */
  readonly #all = new Set<HttpSession>();
  readonly #ending = new Set<Promise<void>>();

  constructor(options: HttpSessionsOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#all.size;
  }

  /** Initializes a new session with its first message. */
  async open(
    principal: string,
    request: IncomingMessage,
    response: ServerResponse,
    body: unknown,
  ): Promise<void> {
    const full = this.#atLimit(principal);
    if (full !== null) return refuse(response, full);
    const session = await this.#create(principal);
    await session.handle(request, response, body);
    // The transport refused the message.
    if (session.id === undefined) await this.#end(session, 'deleted');
  }

  /** The session with this id. Another principal's is unknown. */
  find(principal: string, id: string): { session: HttpSession } | { refused: Refusal } {
    const session = this.#byId.get(id);
    if (session !== undefined && session.principal === principal) return { session };
    const message = 'Session not found; it may have expired. Initialize a new one.';
    return { refused: { status: 404, code: SESSION_NOT_FOUND, message } };
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

  #atLimit(principal: string): Refusal | null {
    const { maxSessions, maxPrincipalSessions } = this.#options.config.http;
    const own = [...this.#all].filter((session) => session.principal === principal).length;
    if (own < maxPrincipalSessions && this.#all.size < maxSessions) return null;
    const [limit, subject] =
      own < maxPrincipalSessions ? [maxSessions, 'The server'] : [maxPrincipalSessions, 'This principal'];
    const message = `${subject} has reached its limit of ${limit} sessions. End one with DELETE, or try again later.`;
    return { status: 503, message, headers: { 'retry-after': '30' } };
  }

  async #create(principal: string): Promise<HttpSession> {
    const { registry, clock, config, log } = this.#options;
    const transport: StreamableHTTPServerTransport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: new BoundedEventStore(),
      onsessioninitialized: (id) => void this.#byId.set(id, session),
    });
    // It may fail, and then there must not be a session yet.
    const ownConfig = configOf(config, principal);
    const registrySession = registry.openSession(principal);
    const connection = createServer({
      ...this.#options,
      session: registrySession,
      config: ownConfig,
    });
    const session: HttpSession = new HttpSession(
      { principal, connection, transport, session: registrySession },
      {
        clock,
        log,
        idleMs: config.http.sessionIdleMs,
        onEnd: (ended) => {
          this.#all.delete(ended);
          if (ended.id !== undefined) this.#byId.delete(ended.id);
        },
      },
    );
    this.#all.add(session);
    await connection.server.connect(transport);
    return session;
  }

  #end(session: HttpSession, reason: SessionEndReason): Promise<void> {
    const ending = session.end(reason);
    this.#ending.add(ending);
    return ending.finally(() => this.#ending.delete(ending));
  }
}
