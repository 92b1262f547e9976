/** A client over HTTP that knows what became of each request: answered, refused, or lost. */
import { once } from 'node:events';
import { type ClientRequest, request as httpRequest, IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { z } from 'zod';

const REVISION = '2026-07-28';
const CONVERSATION = 'io.github.sandbox-mcp/conversation';

/** What became of a call. */
export type Outcome =
  /** A result of the tool; `code` is the error's, null if it succeeded. */
  | { readonly kind: 'answered'; readonly code: string | null; readonly data: Record<string, unknown> }
  /** An HTTP error with a reason. */
  | { readonly kind: 'refused'; readonly status: number }
  /** No connection, after the server was told to end. */
  | { readonly kind: 'unreachable' }
  /** The client itself dropped the connection. */
  | { readonly kind: 'dropped' }
  /** A request that the server may have accepted, without an answer. */
  | { readonly kind: 'lost'; readonly reason: string };

const Message = z.object({
  id: z.number().nullable().optional(),
  result: z
    .object({
      isError: z.boolean().default(false),
      content: z.array(z.looseObject({ text: z.string().optional() })).default([]),
      structuredContent: z.record(z.string(), z.unknown()).default({}),
    })
    .optional(),
  error: z.object({ message: z.string() }).optional(),
});

interface SoakClientOptions {
  readonly url: string;
  readonly token: string;
  /** Set once the server has got its signal. */
  readonly server: { ending: boolean };
  /** The name of a conversation without a session; null for a client with a session. */
  readonly conversation: string | null;
}

/** One conversation: a session of the revisions up to 2025-11-25, or requests of 2026-07-28. */
export class SoakClient {
  readonly #options: SoakClientOptions;
  readonly #open = new Set<ClientRequest>();
  #session: string | null = null;
  #lastId = 0;
  #isDropped = false;

  constructor(options: SoakClientOptions) {
    this.#options = options;
  }

  /** Begins the conversation. Clients without sessions have nothing to begin. */
  async connect(): Promise<Outcome> {
    if (this.#options.conversation !== null) return { kind: 'answered', code: null, data: {} };
    const params = {
      protocolVersion: '2025-11-25',
      capabilities: {},
      clientInfo: { name: 'soak', version: '1' },
    };
    return this.#request('initialize', params);
  }

  call(name: string, args: Record<string, unknown> = {}): Promise<Outcome> {
    return this.#request('tools/call', { name, arguments: args });
  }

  /** Goes away without ending anything, once its requests have been sent. */
  async drop(): Promise<void> {
    this.#isDropped = true;
    for (const request of this.#open) {
      if (!request.writableFinished) await Promise.race([once(request, 'finish'), once(request, 'close')]);
      request.destroy();
    }
  }

  async #request(method: string, params: Record<string, unknown>): Promise<Outcome> {
    this.#lastId += 1;
    const id = this.#lastId;
    const { conversation, server } = this.#options;
    const wasEnding = server.ending;
    const _meta = {
      'io.modelcontextprotocol/protocolVersion': REVISION,
      'io.modelcontextprotocol/clientInfo': { name: 'soak', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': {},
      [CONVERSATION]: conversation,
    };
    const body = {
      jsonrpc: '2.0',
      id,
      method,
      params: conversation === null ? params : { ...params, _meta },
    };
    const request = httpRequest(this.#options.url, {
      method: 'POST',
      agent: false,
      headers: { ...this.#headers(method, params), 'content-type': 'application/json' },
    });
    this.#open.add(request);
    try {
      const response = await responseTo(request, JSON.stringify(body));
      this.#session ??= sessionOf(response);
      return outcomeOf(id, response.statusCode ?? 0, await text(response));
    } catch (error) {
      if (this.#isDropped) return { kind: 'dropped' };
      // A request that is sent after the signal may find that the server is no longer there.
      if (wasEnding) return { kind: 'unreachable' };
      return { kind: 'lost', reason: `${method} ${String(params['name'] ?? '')}: ${String(error)}` };
    } finally {
      this.#open.delete(request);
    }
  }

  #headers(method: string, params: Record<string, unknown>): Record<string, string> {
    const { token, conversation } = this.#options;
    return {
      authorization: `Bearer ${token}`,
      accept: 'application/json, text/event-stream',
      ...(this.#session !== null && { 'mcp-session-id': this.#session }),
      ...(conversation !== null && { 'mcp-protocol-version': REVISION, 'mcp-method': method }),
      ...(conversation !== null && 'name' in params && { 'mcp-name': String(params['name']) }),
    };
  }
}

async function responseTo(request: ClientRequest, body: string): Promise<IncomingMessage> {
  request.end(body);
  const [response] = await once(request, 'response');
  if (response instanceof IncomingMessage) return response;
  throw new Error('no response');
}

function sessionOf({ headers }: IncomingMessage): string | null {
  const id = headers['mcp-session-id'];
  return typeof id === 'string' ? id : null;
}

/** The outcome of a request by its response: JSON, or an event stream with the answer in one of its events. */
function outcomeOf(id: number, status: number, body: string): Outcome {
  const events = body.split('\n').filter((line) => line.startsWith('data: {'));
  const messages = (events.length > 0 ? events.map((line) => line.slice('data: '.length)) : [body])
    .map(parsed)
    .filter((message) => message !== null);
  const answer = messages.find((message) => message.id === id && message.result !== undefined)?.result;
  if (answer !== undefined) {
    const [first] = answer.content;
    const code = answer.isError ? (/^Error \((\w+)\)/.exec(first?.text ?? '')?.[1] ?? 'unknown') : null;
    return { kind: 'answered', code, data: answer.structuredContent };
  }
  if (status >= 400 && messages.some(({ error }) => error !== undefined)) return { kind: 'refused', status };
  return { kind: 'lost', reason: `status ${status} without an answer: ${body.slice(0, 200)}` };
}

function parsed(json: string): z.infer<typeof Message> | null {
  try {
    return Message.safeParse(JSON.parse(json)).data ?? null;
  } catch {
    return null;
  }
}
