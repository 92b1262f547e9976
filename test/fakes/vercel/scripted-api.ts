/**
 * An API of Vercel's that says what a test wants it to say: for answers that the stand-in never gives and
 * that the SDK takes all the same. One sandbox and one session, whose fields a test may set; everything else
 * by `answers`.
 */
import { createServer, type IncomingMessage } from 'node:http';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';

export interface ScriptedAnswer {
  status?: number;
  headers?: Record<string, string>;
  /** Sent unchanged; an object as JSON; null for no body. */
  body: object | string | null;
}

export interface ScriptedRequest {
  method: string;
  /** Without the base URL and the query. */
  path: string;
  query: URLSearchParams;
  body: string;
  authorization: string;
}

type Answering = (request: ScriptedRequest) => ScriptedAnswer | null | Promise<ScriptedAnswer | null>;

export interface ScriptedApi {
  readonly url: string;
  readonly requests: readonly ScriptedRequest[];
  /** Fields of the session that differ from a running one's. */
  session: Record<string, unknown>;
  /** Whether the sandbox keeps its files. */
  persistent: boolean;
  /** Asked in order before the default response; null passes the request to the next one. */
  readonly answers: Answering[];
  /** Requests of this method whose path ends so. */
  requestsTo(method: string, end: string): ScriptedRequest[];
  close(): Promise<void>;
}

export const SCRIPTED_CREDENTIALS = { token: 'token', teamId: 'team_scripted', projectId: 'prj_scripted' };
const SESSION_ID = 'ses_scripted';

export async function startScriptedApi(): Promise<ScriptedApi> {
  const requests: ScriptedRequest[] = [];
  const answers: Answering[] = [];
  const state: ScriptedState = { session: {}, name: '', persistent: false };
  const server = createServer((incoming, response) => {
    void (async () => {
      const request = await read(incoming);
      requests.push(request);
      const said = await Promise.all(answers.map((answer) => answer(request)));
      const found = said.find((answer) => answer !== null);
      const { status = 200, headers = {}, body } = found ?? byDefault(state, request);
      const isJson = typeof body === 'object' && body !== null;
      response.writeHead(status, { ...(isJson && { 'content-type': 'application/json' }), ...headers });
      response.end(isJson ? JSON.stringify(body) : body);
    })();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address: AddressInfo | string | null = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    requests,
    answers,
    get session() {
      return state.session;
    },
    set session(fields) {
      state.session = fields;
    },
    get persistent() {
      return state.persistent;
    },
    set persistent(value) {
      state.persistent = value;
    },
    requestsTo: (method, end) =>
      requests.filter((request) => request.method === method && request.path.endsWith(end)),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

async function read(incoming: IncomingMessage): Promise<ScriptedRequest> {
  const url = new URL(incoming.url ?? '/', 'http://scripted');
  const body = await text(incoming);
  const { method = '', headers } = incoming;
  const authorization = headers.authorization ?? '';
  return { method, path: url.pathname, query: url.searchParams, body, authorization };
}

interface ScriptedState {
  session: Record<string, unknown>;
  name: string;
  persistent: boolean;
}

function byDefault(state: ScriptedState, { method, path, body }: ScriptedRequest): ScriptedAnswer {
  if (method === 'POST' && /\/v[23]\/sandboxes$/.test(path)) {
    const requestsTo: unknown = JSON.parse(body);
    if (typeof requestsTo === 'object' && requestsTo !== null)
      state.name = String(Reflect.get(requestsTo, 'name'));
  }
  const session = scriptedSession(state.session);
  const command = /\/cmd\/([^/]+)$/.exec(path)?.[1];
  if (command !== undefined) return { body: { command: scriptedCommand({ id: command }) } };
  if (path.endsWith('/logs')) return { headers: { 'content-type': 'application/x-ndjson' }, body: '' };
  if (path.endsWith('/cmd')) return { body: { command: scriptedCommand() } };
  if (path.includes('/sessions/')) return { body: { session } };
  const { id, status, createdAt, updatedAt } = session;
  const common = { createdAt, updatedAt, status };
  const sandbox = { name: state.name, persistent: state.persistent, currentSessionId: id, ...common };
  return { body: { sandbox, session, routes: [] } };
}

export function scriptedSession(fields: Record<string, unknown> = {}) {
  const now = Date.now();
  return {
    id: SESSION_ID,
    memory: 2_048,
    vcpus: 1,
    region: 'iad1',
    timeout: 300_000,
    status: 'running',
    requestedAt: now,
    startedAt: now,
    createdAt: now,
    updatedAt: now,
    cwd: '/vercel/sandbox',
    ...fields,
  };
}

export function scriptedCommand(fields: Record<string, unknown> = {}) {
  const common = { id: 'cmd_scripted', name: 'true', args: [], cwd: '/', sessionId: SESSION_ID };
  return { ...common, exitCode: 0, durationMs: 5, startedAt: Date.now(), ...fields };
}

export function scriptedSnapshot(fields: Record<string, unknown> = {}) {
  const now = Date.now();
  const common = { id: 'snap_scripted', sourceSessionId: SESSION_ID, region: 'iad1' };
  return { ...common, status: 'created', sizeBytes: 1, createdAt: now, updatedAt: now, ...fields };
}
