import type { IncomingMessage, ServerResponse } from 'node:http';
import type { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import type { Session, SessionEndReason } from '../../registry/types.ts';
import { type Clock, completesWithin } from '../../shared/clock.ts';
import type { Logger } from '../../shared/log.ts';
import { SessionEnded } from '../../shared/session-ended.ts';
import type { Connection } from '../create-server.ts';

/** Time for cancelled calls to send their answers. */
const ANSWER_MS = 500;

export interface HttpSessionParts {
  readonly principal: string;
  readonly connection: Connection;
  readonly transport: StreamableHTTPServerTransport;
  readonly session: Session;
}

/** One conversation over HTTP: a protocol server, its transport, and a session of the registry. */
export class HttpSession {
  readonly principal: string;
  readonly #parts: HttpSessionParts;
  readonly #clock: Clock;
  readonly #log: Logger;
  readonly #idleMs: number;
  readonly #onEnd: (session: HttpSession) => void;
  readonly #open = new Set<Promise<void>>();
  readonly #calls = new Set<Promise<void>>();
  #idle: ReturnType<Clock['setTimeout']> | null = null;
  #ending: Promise<void> | null = null;

  /** `onEnd` is called when the session begins to end: from then on no request may reach it. */
  constructor(
    parts: HttpSessionParts,
    options: { clock: Clock; log: Logger; idleMs: number; onEnd: (session: HttpSession) => void },
  ) {
    this.principal = parts.principal;
    this.#parts = parts;
    this.#clock = options.clock;
    this.#log = options.log;
    this.#idleMs = options.idleMs;
    this.#onEnd = options.onEnd;
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
      if (this.#open.size === 0 && this.#ending === null)
        this.#idle = this.#clock.setTimeout(() => void this.end('idle'), this.#idleMs);
    });
    await this.#parts.transport.handleRequest(request, response, body);
  }

  /** Cancels the calls, lets them answer, and releases what the session owns. Idempotent; never rejects. */
  end(reason: SessionEndReason): Promise<void> {
    this.#ending ??= this.#end(reason);
    return this.#ending;
  }

  async #end(reason: SessionEndReason): Promise<void> {
    this.#stopIdle();
    this.#onEnd(this);
    const { connection, session } = this.#parts;
    const calls = connection.endCalls(new SessionEnded());
    for (const outcome of await Promise.allSettled([calls, session.end(reason)])) {
      if (outcome.status === 'rejected')
        this.#log.error({ err: outcome.reason }, 'session did not end cleanly');
    }
    await completesWithin(this.#clock, ANSWER_MS, Promise.all(this.#calls));
    try {
      await connection.server.close();
    } catch (error) {
      this.#log.error({ err: error }, 'session did not close cleanly');
    }
  }

  #stopIdle(): void {
    if (this.#idle !== null) this.#clock.clearTimeout(this.#idle);
    this.#idle = null;
  }
}
