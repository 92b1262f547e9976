import type { IncomingMessage, ServerResponse } from 'node:http';
import type { JSONRPCMessage } from '@modelcontextprotocol/sdk/types.js';
import { createMcpHandler, type McpHttpHandler, type Server } from '@modelcontextprotocol/server';
import { z } from 'zod';
import type { SessionEndReason } from '../../../registry/types.ts';
import { type Clock, completesWithin } from '../../../shared/clock.ts';
import { createModernServer } from '../../modern/modern-server.ts';
import { invalidParamsReply } from '../../parse-message.ts';
import type { Routing } from '../replicas/routing.ts';
import type { Claimed } from '../replicas/session-directory.ts';
import { type Refusal, refuse, sendJson } from '../reply.ts';
import { sendWebResponse, webRequest } from '../web-exchange.ts';
import { type CallerSession, CallerSessions, type CallerSessionsOptions } from './caller-sessions.ts';

/** Time for cancelled calls to send their answers; that of hundreds of sessions on a busy machine. */
const ANSWER_MS = 2_000;

/** Groups the requests of one conversation: they share a current sandbox, as those of a session do. */
const CONVERSATION = 'io.github.sandbox-mcp/conversation';

const Named = z.looseObject({
  params: z
    .looseObject({
      _meta: z.looseObject({ [CONVERSATION]: z.string().min(1).max(128).optional() }).optional(),
    })
    .optional(),
});

/**
 * Requests of the revision 2026-07-28 over HTTP. Each stands for itself: the library checks its headers
 * against its body, and what has to outlive it belongs to its principal.
 */
export class StatelessRequests {
  readonly #clock: Clock;
  readonly #sessions: CallerSessions;
  readonly #routing: Routing | null;
  readonly #handler: McpHttpHandler;
  readonly #callers = new WeakMap<Request, CallerSession>();
  readonly #calls = new Set<Promise<void>>();

  /** `routing` is null if there are no other replicas. */
  constructor(options: CallerSessionsOptions, routing: Routing | null = null) {
    this.#clock = options.clock;
    this.#routing = routing;
    this.#sessions = new CallerSessions(options);
    this.#handler = createMcpHandler(({ requestInfo }) => this.#serverFor(requestInfo), {
      legacy: 'reject',
      onerror: (error) => options.log.debug({ err: error }, 'protocol error'),
    });
  }

  /** Resolves when the request has been answered, or its client has gone. */
  async handle(
    principal: string,
    request: IncomingMessage,
    response: ServerResponse,
    message: JSONRPCMessage,
    body: string,
  ): Promise<void> {
    const { data: named, error } = Named.safeParse(message);
    // Without its conversation, the request would act on what belongs to none.
    if (error !== undefined) return sendJson(response, 400, invalidParamsReply(idOf(message), error.issues));
    const conversation = named.params?._meta?.[CONVERSATION] ?? null;
    const caller = { principal, conversation };
    if (!this.#sessions.accepts(caller)) return refuse(response, FULL);
    if (this.#routing !== null) {
      const locate = () => this.#sessions.locate(caller);
      const found = await this.#routing.find(request, response, body, locate);
      if (found === null) return;
      if ('refused' in found) return refuse(response, found.refused);
    }
    const { session, release } = this.#sessions.use(caller);
    const exchange = this.#exchange(session, request, response, message).finally(release);
    // A subscription stays open as long as its client wants.
    const isCall = 'method' in message && message.method !== 'subscriptions/listen';
    if (isCall) this.#calls.add(exchange);
    await exchange.finally(() => this.#calls.delete(exchange));
  }

  /** Resolves when no call waits for an answer. */
  async answered(): Promise<void> {
    while (this.#calls.size > 0) await Promise.allSettled(this.#calls);
  }

  /** Continues what another replica served. */
  resume(claimed: Claimed): Promise<void> {
    return this.#sessions.resume(claimed);
  }

  /** Leaves everything to other replicas. `isLost`: another one has it already. */
  async leave(options: { isLost: boolean }): Promise<void> {
    await this.#sessions.leave(options);
    await completesWithin(this.#clock, ANSWER_MS, this.answered());
  }

  /** Cancels the calls, lets them answer, and ends what serves them. */
  async close(reason: SessionEndReason): Promise<void> {
    await this.#sessions.close(reason);
    await completesWithin(this.#clock, ANSWER_MS, this.answered());
    await this.#handler.close();
  }

  async #exchange(
    session: CallerSession,
    request: IncomingMessage,
    response: ServerResponse,
    message: object,
  ): Promise<void> {
    const received = webRequest(request, response);
    this.#callers.set(received, session);
    const answer = await this.#handler.fetch(received, { parsedBody: message });
    await sendWebResponse(answer, response);
  }

  #serverFor(request: Request | undefined): Server {
    const session = request === undefined ? undefined : this.#callers.get(request);
    if (session === undefined) throw new Error('The request has no caller.');
    return createModernServer(session.calls, session.options);
  }
}

function idOf(message: JSONRPCMessage): string | number | null {
  return 'id' in message ? (message.id ?? null) : null;
}

const FULL: Refusal = {
  status: 503,
  message: 'The limit of conversations is reached. Use fewer, or try again later.',
  headers: { 'retry-after': '30' },
};
