import type { IncomingMessage, ServerResponse } from 'node:http';
import type { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js';
import type { MovableSession, SessionEndReason } from '../../registry/types.ts';
import { type Clock, completesWithin } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import { SessionEnded, SessionMoved } from '../../shared/session-ended.ts';
import type { Connection } from '../create-server.ts';
import type { SessionHold } from './replicas/session-hold.ts';
import { openingStream } from './replicas/shared-events.ts';
import { sendWebResponse, webRequest } from './web-exchange.ts';

/** Time for cancelled calls to send their answers; that of hundreds of sessions on a busy machine. */
const ANSWER_MS = 2_000;

export interface HttpSessionParts {
  readonly principal: string;
  readonly connection: Connection;
  readonly transport: WebStandardStreamableHTTPServerTransport;
  readonly session: MovableSession;
}

interface HttpSessionOptions {
  readonly clock: Clock;
  readonly log: Logger;
  readonly idleMs: number;
  /** Called when the session begins to end: from then on no request may reach it. */
  readonly onEnd: (session: HttpSession) => void;
}

/** One conversation over HTTP: a protocol server, its transport, and a session of the registry. */
export class HttpSession {
  readonly principal: string;
  /** Null if no other replica can serve it. */
  hold: SessionHold | null = null;
  readonly #parts: HttpSessionParts;
  readonly #options: HttpSessionOptions;
  readonly #open = new Set<Promise<void>>();
  readonly #calls = new Set<Promise<void>>();
  #idle: ReturnType<Clock['setTimeout']> | null = null;
  #ending: Promise<void> | null = null;

  constructor(parts: HttpSessionParts, options: HttpSessionOptions) {
    this.principal = parts.principal;
    this.#parts = parts;
    this.#options = options;
  }

  /** Resolves when no request waits for an answer. */
  async answered(): Promise<void> {
    while (this.#calls.size > 0) await Promise.all(this.#calls);
  }

  /** Undefined until the client has initialized. */
  get id(): string | undefined {
    return this.#parts.transport.sessionId;
  }

  /** Passes a request on. While its response is open, the session is not idle. */
  async handle(request: IncomingMessage, response: ServerResponse, body?: unknown): Promise<void> {
    this.#stopIdle();
    const closed = new Promise<void>((resolve) => response.once('close', resolve));
    this.#open.add(closed);
    if (request.method === 'POST') this.#calls.add(closed);
    void closed.then(() => {
      this.#open.delete(closed);
      this.#calls.delete(closed);
      this.waitIdle();
    });
    const { transport } = this.#parts;
    const received = webRequest(request, response);
    const answer = await openingStream(body, () => transport.handleRequest(received, { parsedBody: body }));
    await sendWebResponse(answer, response);
  }

  /** Ends the session after some time unless a request comes. */
  waitIdle(): void {
    if (this.#open.size > 0 || this.#ending !== null) return;
    const { clock, idleMs } = this.#options;
    this.#stopIdle();
    this.#idle = clock.setTimeout(() => void this.end('idle'), idleMs);
  }

  /** Cancels the calls, lets them answer, and releases what the session owns. Idempotent; never rejects. */
  end(reason: SessionEndReason): Promise<void> {
    this.#ending ??= this.#end(reason);
    return this.#ending;
  }

  /**
   * Ends it here alone, for another replica to continue. Idempotent; never rejects.
   *
   * @param isLost another replica has it already
   */
  leave({ isLost }: { isLost: boolean }): Promise<void> {
    this.#ending ??= this.#leave().then(async () => {
      if (!isLost) await this.#attempt(this.hold?.release());
    });
    return this.#ending;
  }

  #leave(): Promise<void> {
    return this.#close((session) => session.leave(), new SessionMoved());
  }

  async #end(reason: SessionEndReason): Promise<void> {
    if (this.hold === null) return this.#close((session) => session.end(reason), new SessionEnded());
    // Another replica has it, or takes it since this one cannot reach the store.
    if (!(await this.hold.beginEnd())) return this.#leave();
    await this.#close((session) => session.end(reason), new SessionEnded());
    await this.#attempt(this.hold.remove());
  }

  /** `reason` is why its calls end. */
  async #close(endSession: (session: MovableSession) => Promise<void>, reason: SessionEnded): Promise<void> {
    this.#stopIdle();
    this.#options.onEnd(this);
    const { connection, session } = this.#parts;
    await Promise.all([this.#attempt(connection.endCalls(reason)), this.#attempt(endSession(session))]);
    await completesWithin(this.#options.clock, ANSWER_MS, Promise.all(this.#calls));
    await this.#attempt(connection.server.close());
  }

  async #attempt(work: Promise<unknown> | undefined): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.#options.log.error({ err: error }, 'session did not end cleanly');
    }
  }

  #stopIdle(): void {
    if (this.#idle !== null) this.#options.clock.clearTimeout(this.#idle);
    this.#idle = null;
  }
}
