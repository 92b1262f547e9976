import type { IncomingMessage, ServerResponse } from 'node:http';
import { eraOf, REVISION } from '../front/revision.ts';
import { parseMessage } from '../parse-message.ts';
import type { Authenticate, Caller } from './caller.ts';
import type { HttpSession } from './http-session.ts';
import type { HttpSessions } from './http-sessions.ts';
import type { RateLimit } from './rate-limit.ts';
import { NOT_SERVED } from './replicas/forward.ts';
import type { Routing } from './replicas/routing.ts';
import { type Refusal, refuse, sendJson } from './reply.ts';
import { readBody } from './request-body.ts';
import type { StatelessRequests } from './stateless/stateless-requests.ts';

/** As on stdio. */
const MAX_MESSAGE_BYTES = 32 * 1024 * 1024;

export interface McpEndpointOptions {
  sessions: HttpSessions;
  /** Null if there are no other replicas. */
  routing: Routing | null;
  /** Loaded with the first request of its era. */
  stateless: () => Promise<StatelessRequests>;
  authenticate: Authenticate;
  /** The refusal of a message that the caller's scopes do not allow. */
  checkScopes: (caller: Caller, message: object) => Refusal | null;
  rateLimit: RateLimit | null;
  maxMessageBytes?: number;
}

/** Handles requests for `/mcp`: authenticates, limits, and passes them to the session that they name. */
export class McpEndpoint {
  readonly #options: McpEndpointOptions;
  #draining = false;

  constructor(options: McpEndpointOptions) {
    this.#options = options;
  }

  /** From now on every request is refused; running calls continue. */
  drain(): void {
    this.#draining = true;
  }

  /** For load balancers, which then send requests elsewhere. */
  health(response: ServerResponse): void {
    if (this.#draining) sendJson(response, 503, { status: 'shutting down' });
    else sendJson(response, 200, { status: 'ok' });
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { method = '' } = request;
    if (!['GET', 'POST', 'DELETE'].includes(method)) {
      const headers = { allow: 'GET, POST, DELETE' };
      return refuse(response, { status: 405, message: 'Method not allowed.', headers });
    }
    const authentication = await this.#options.authenticate(request.headers.authorization);
    if ('refused' in authentication) return refuse(response, authentication.refused);
    const { caller } = authentication;
    const limited = this.#admit(caller, request);
    if (limited !== null) return refuse(response, limited);
    if (method === 'POST') return this.#post(caller, request, response);
    const forbidden = this.#options.checkScopes(caller, {});
    if (forbidden !== null) return refuse(response, forbidden);
    if (namesModern(request)) {
      const message = 'Only POST is supported without sessions.';
      return refuse(response, { status: 405, message, headers: { allow: 'POST' } });
    }
    const session = await this.#sessionOf(caller, request, response, null);
    if (session === null) return;
    if (method === 'GET') return session.handle(request, response);
    await this.#options.sessions.delete(session);
    response.writeHead(200).end();
  }

  async #post(caller: Caller, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await readBody(request, this.#options.maxMessageBytes ?? MAX_MESSAGE_BYTES);
    if ('aborted' in body) return;
    if ('refused' in body) return refuse(response, body.refused);
    const parsed = parseMessage(body.text);
    if ('errorReply' in parsed) return sendJson(response, 400, parsed.errorReply);
    if ('ignored' in parsed) return refuse(response, { status: 400, message: `Ignored ${parsed.ignored}.` });
    const { message } = parsed;
    const forbidden = this.#options.checkScopes(caller, message);
    if (forbidden !== null) return refuse(response, forbidden);
    if (namesModern(request) || eraOf(message) === 'modern') {
      const stateless = await this.#options.stateless();
      return stateless.handle(caller.principal, request, response, message, body.text);
    }
    const invalid = await this.#options.sessions.initializeError(message);
    if (invalid !== null) return sendJson(response, 400, invalid);
    const initializes = 'method' in message && 'id' in message && message.method === 'initialize';
    if (initializes && request.headers['mcp-session-id'] === undefined)
      return this.#options.sessions.open(caller.principal, request, response, message);
    const session = await this.#sessionOf(caller, request, response, body.text);
    await session?.handle(request, response, message);
  }

  /** Null once the request has been answered: refused, or by another replica. */
  async #sessionOf(
    { principal }: Caller,
    request: IncomingMessage,
    response: ServerResponse,
    body: string | null,
  ): Promise<HttpSession | null> {
    const { sessions, routing } = this.#options;
    const id = request.headers['mcp-session-id'];
    if (typeof id !== 'string' || id === '') {
      refuse(response, { status: 400, message: 'The Mcp-Session-Id header is missing; initialize first.' });
      return null;
    }
    const locate = () => sessions.find(principal, id);
    const found = routing === null ? await locate() : await routing.find(request, response, body, locate);
    if (found === null) return null;
    if ('session' in found) return found.session;
    if ('refused' in found) refuse(response, found.refused);
    return null;
  }

  #admit({ principal }: Caller, request: IncomingMessage): Refusal | null {
    const isForwarded = this.#options.routing?.isForwarded(request) ?? false;
    if (this.#draining) {
      const headers = {
        ...{ 'retry-after': '5', connection: 'close' },
        ...(isForwarded && { [NOT_SERVED]: 'true' }),
      };
      return { status: 503, message: 'The server is shutting down; reconnect later.', headers };
    }
    // The replica that received the request has counted it.
    if (isForwarded) return null;
    const seconds = this.#options.rateLimit?.take(principal, performance.now()) ?? null;
    if (seconds === null) return null;
    const message = `Too many requests; try again in ${seconds} s.`;
    return { status: 429, message, headers: { 'retry-after': String(seconds) } };
  }
}

/** Whether a request names the first revision without sessions, or a later one. */
function namesModern({ headers }: IncomingMessage): boolean {
  const version = headers['mcp-protocol-version'];
  return typeof version === 'string' && /^\d{4}-\d\d-\d\d$/.test(version) && version >= REVISION;
}
