/** The revision 2026-07-28 over HTTP, which has no sessions. */
import { describe, expect, it, vi } from 'vitest';
import type { Session } from '../../../src/registry/types.ts';
import { SandboxError } from '../../../src/shared/errors.ts';
import { FakeClock, openWorld } from '../../registry/support/registry.ts';
import { deferred, toolOf } from '../support/connected-server.ts';
import { type HttpServer, INITIALIZE, post, startHttp } from './support/http-server.ts';
import { CONVERSATION, connectNewest, type NewestClientOptions, REVISION } from './support/newest-client.ts';

const ANN = 'token-of-ann-0123456789';
const BOB = 'token-of-bob-0123456789';
const env = { SANDBOX_MCP_AUTH_TOKENS: `ann:${ANN},bob:${BOB}` };
const META = {
  'io.modelcontextprotocol/protocolVersion': REVISION,
  'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
  'io.modelcontextprotocol/clientCapabilities': {},
};

function connect(server: HttpServer, mode: NewestClientOptions['mode'], token?: string) {
  return connectNewest(server, { mode, ...(token !== undefined && { token }) });
}

function request(method: string, params: object = {}, meta: object = {}) {
  return { jsonrpc: '2.0', id: 3, method, params: { ...params, _meta: { ...META, ...meta } } };
}

function headersOf(method: string, name?: string): Record<string, string> {
  return {
    'mcp-protocol-version': REVISION,
    'mcp-method': method,
    ...(name !== undefined && { 'mcp-name': name }),
  };
}

describe('clients of the newest library', () => {
  it.each([
    ['legacy', '2025-11-25'],
    ['auto', REVISION],
    ['pin', REVISION],
  ] as const)('are served in the mode %s', async (mode, revision) => {
    const server = await startHttp();
    const { client, transport, call } = await connect(server, mode);
    expect(client.getNegotiatedProtocolVersion()).toBe(revision);
    expect(client.getInstructions()).toContain('sandbox_create');
    const { tools } = await client.listTools();
    expect(tools[0]?.name).toBe('sandbox_create');
    const created = await call('sandbox_create');
    expect(await call('sandbox_get')).toMatchObject({ status: 'running', text: expect.anything() });
    expect(created).toHaveProperty('sandbox_id');
    expect(transport.sessionId === undefined).toBe(mode !== 'legacy');
  });
});

describe('a request without a session', () => {
  it('gets a list of tools that may be cached, the same for all', async () => {
    const server = await startHttp({ env });
    const lists = await Promise.all(
      [ANN, BOB].map(async (token) => {
        const headers = { ...headersOf('tools/list'), authorization: `Bearer ${token}` };
        const response = await post(server, request('tools/list'), headers);
        expect(response.headers.get('mcp-session-id')).toBeNull();
        return response.text();
      }),
    );
    expect(lists[0]).toBe(lists[1]);
    expect(JSON.parse(lists[0] ?? '')).toMatchObject({
      result: { resultType: 'complete', ttlMs: 3_600_000, cacheScope: 'public' },
    });
  });

  const list = headersOf('tools/list');
  const call = request('tools/call', { name: 'session_info', arguments: {} });
  it.each<[string, object, Record<string, string>, number]>([
    [
      'another revision in the header',
      request('tools/list'),
      { ...list, 'mcp-protocol-version': '2025-11-25' },
      -32020,
    ],
    ['another method in the header', request('tools/list'), headersOf('tools/call', 'x'), -32020],
    ['no method in the header', request('tools/list'), { 'mcp-protocol-version': REVISION }, -32020],
    ['another name in the header', call, headersOf('tools/call', 'sandbox_list'), -32020],
    ['no name in the header', call, headersOf('tools/call'), -32020],
    ['no revision in the header', request('tools/list'), { 'mcp-method': 'tools/list' }, -32020],
    ['no revision in the body', { jsonrpc: '2.0', id: 3, method: 'tools/list', params: {} }, list, -32602],
    [
      'no capabilities',
      request('tools/list', {}, { 'io.modelcontextprotocol/clientCapabilities': undefined }),
      list,
      -32602,
    ],
    [
      'a revision that nobody knows',
      request('tools/list', {}, { 'io.modelcontextprotocol/protocolVersion': '2030-01-01' }),
      { ...list, 'mcp-protocol-version': '2030-01-01' },
      -32022,
    ],
  ])('is refused with %s', async (_name, message, headers, code) => {
    const response = await post(await startHttp(), message, headers);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ id: 3, error: { code } });
  });

  it.each<[string, number, unknown, Record<string, string>]>([
    ['garbage', 400, '{"jsonrpc": "2.0", "id"', {}],
    ['a batch', 400, [request('tools/list'), request('tools/list')], {}],
    ['no JSON-RPC', 400, { hello: 'world' }, {}],
    ['the start of a session', 400, INITIALIZE, {}],
    ['another content type', 415, request('tools/list'), { 'content-type': 'text/plain' }],
    ['a body over the limit', 413, request('tools/list', { extra: 'x'.repeat(20_000) }), {}],
    ['a foreign origin', 403, request('tools/list'), { origin: 'https://evil.example' }],
  ])('is not %s: %i', async (_name, status, message, headers) => {
    const server = await startHttp({ maxMessageBytes: 10_000 });
    const response = await post(server, message, { ...list, ...headers });
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ jsonrpc: '2.0', error: { message: expect.any(String) } });
    expect((await post(server, request('tools/list'), list)).status).toBe(200);
  });

  it.each(['GET', 'DELETE'])('is not a %s', async (method) => {
    const server = await startHttp();
    const response = await fetch(`${server.url}/mcp`, {
      method,
      headers: { 'mcp-protocol-version': REVISION },
    });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('POST');
  });

  it('is cancelled when its client goes away', async () => {
    const started = deferred<null>();
    const cancelled = deferred<null>();
    const slow = toolOf('slow', async (_args, { signal }) => {
      signal.addEventListener('abort', () => cancelled.resolve(null));
      started.resolve(null);
      await cancelled.promise;
    });
    const server = await startHttp({ tools: [slow] });
    const disconnected = new AbortController();
    const { client } = await connect(server, 'pin');
    const calling = client.callTool({ name: 'slow' }, { signal: disconnected.signal });
    await started.promise;
    disconnected.abort();
    await expect(calling).rejects.toThrow();
    await cancelled.promise;
  });

  it('reports progress on its own stream', async () => {
    const chatty = toolOf('chatty', async (_args, { progress }) => progress('half way'));
    const { client } = await connect(await startHttp({ tools: [chatty] }), 'pin');
    const lines: (string | undefined)[] = [];
    await client.callTool({ name: 'chatty' }, { onprogress: ({ message }) => lines.push(message) });
    expect(lines).toEqual(['half way']);
  });

  it('is answered before the server ends, and a subscription does not hold it up', async () => {
    const go = deferred<null>();
    const started = deferred<null>();
    const slow = toolOf('slow', async () => {
      started.resolve(null);
      await go.promise;
      return 'done at last';
    });
    const server = await startHttp({ tools: [slow] });
    const listening = request('subscriptions/listen', { notifications: { toolsListChanged: true } });
    const stream = await post(server, listening, headersOf('subscriptions/listen'));
    expect(stream.headers.get('content-type')).toContain('text/event-stream');
    const { call } = await connect(server, 'pin');
    const calling = call('slow');
    await started.promise;
    server.signal();
    go.resolve(null);
    expect((await calling).text).toContain('done at last');
    await server.ended;
  });
});

it('cancels running calls at a second signal, and still answers them', async () => {
  const started = deferred<null>();
  const endless = toolOf('endless', async (_args, { signal }) => {
    started.resolve(null);
    await new Promise((resolve) => signal.addEventListener('abort', resolve));
    throw new SandboxError('cancelled', 'The session has ended.');
  });
  const server = await startHttp({ tools: [endless] });
  const { call } = await connect(server, 'pin');
  const calling = call('endless');
  await started.promise;
  server.signal();
  server.signal();
  expect((await calling).text).toContain('cancelled');
  await server.ended;
});

describe('the current sandbox of a principal', () => {
  it('is the newest, and never another principal’s', async () => {
    const server = await startHttp({ env });
    const [ann, again, bob] = await Promise.all(
      [ANN, ANN, BOB].map((token) => connect(server, 'pin', token)),
    );
    const first = Reflect.get((await ann?.call('sandbox_create')) ?? {}, 'sandbox_id');
    expect(await again?.call('sandbox_get')).toMatchObject({ sandbox_id: first });
    expect((await bob?.call('sandbox_get'))?.text).toContain('no current sandbox');
    expect((await bob?.call('sandbox_get', { sandbox_id: first }))?.text).toContain('not_found');
    server.world.clock.advance(1);
    const second = Reflect.get((await again?.call('sandbox_create')) ?? {}, 'sandbox_id');
    expect(await ann?.call('session_info')).toMatchObject({ current_sandbox_id: second });
    await ann?.call('sandbox_stop', { sandbox_id: second });
    expect(await again?.call('sandbox_get')).toMatchObject({ sandbox_id: first });
  });

  it('is found behind any number of sandboxes that ended later', async () => {
    const server = await startHttp();
    const { call } = await connect(server, 'pin');
    const { sandbox_id: living } = await call('sandbox_create');
    for (let count = 0; count < 21; count++) {
      server.world.clock.advance(1);
      const { sandbox_id } = await call('sandbox_create');
      await call('sandbox_stop', { sandbox_id, blocking: true });
    }
    expect(await call('sandbox_get')).toMatchObject({ sandbox_id: living, status: 'running' });
  });

  it('belongs to a conversation that the client names', async () => {
    const { call } = await connect(await startHttp(), 'pin');
    const one = Reflect.get(await call('sandbox_create', {}, 'one'), 'sandbox_id');
    expect((await call('sandbox_get', {}, 'two')).text).toContain('no current sandbox');
    await call('sandbox_create');
    expect(await call('sandbox_get', {}, 'one')).toMatchObject({ sandbox_id: one });
    expect(await call('sandbox_get', { sandbox_id: one }, 'two')).toMatchObject({ sandbox_id: one });
    expect(await call('sandbox_get', {}, 'two')).toMatchObject({ sandbox_id: one });
  });

  it.each(['', 'x'.repeat(129), 7, null])('is not chosen by a name that is not valid: %j', async (name) => {
    const server = await startHttp();
    const call = request('tools/call', { name: 'sandbox_create', arguments: {} }, { [CONVERSATION]: name });
    const response = await post(server, call, headersOf('tools/call', 'sandbox_create'));
    expect(response.status).toBe(400);
    const message = expect.stringContaining(`params._meta.${CONVERSATION}`);
    expect(await response.json()).toMatchObject({ id: 3, error: { code: -32602, message } });
    expect(server.world.engine.calls).toEqual([]);
  });

  it('outlives idle times, which end only what holds nothing', async () => {
    const clock = new FakeClock();
    const flags = { 'session-idle': '60s', 'max-principal-sessions': '2' };
    const { call } = await connect(await startHttp({ clock, flags }), 'pin');
    const one = Reflect.get(await call('sandbox_create', {}, 'one'), 'sandbox_id');
    await call('session_info', {}, 'two');
    await expect(call('session_info', {}, 'three')).rejects.toThrow('limit of conversations');
    const freed = async () => {
      clock.advance(61_000);
      return call('session_info', {}, 'three').catch(() => null);
    };
    await expect.poll(freed).not.toBeNull();
    expect(await call('sandbox_get', {}, 'one')).toMatchObject({ sandbox_id: one, status: 'running' });
  });

  it('stays if it is created while its conversation is found idle', async () => {
    const world = openWorld();
    const infoRequested = deferred<null>();
    const answer = deferred<null>();
    const ended: Session[] = [];
    const openSession = world.registry.openSession.bind(world.registry);
    vi.spyOn(world.registry, 'openSession').mockImplementation((principal) => {
      const session = openSession(principal);
      const info = session.info.bind(session);
      vi.spyOn(session, 'info').mockImplementation(async (signal) => {
        const before = await info(signal);
        infoRequested.resolve(null);
        await answer.promise;
        return before;
      });
      const end = session.end.bind(session);
      vi.spyOn(session, 'end').mockImplementation((reason) => {
        ended.push(session);
        return end(reason);
      });
      return session;
    });
    const clock = new FakeClock();
    const server = await startHttp({ world, clock, flags: { 'session-idle': '60s' } });
    const { call } = await connect(server, 'pin');
    await call('sandbox_list', {}, 'one');
    clock.advance(61_000);
    await infoRequested.promise;
    const { sandbox_id } = await call('sandbox_create', {}, 'one');
    answer.resolve(null);
    expect(await call('sandbox_get', { sandbox_id }, 'one')).toMatchObject({ status: 'running' });
    const owners = await Promise.all(ended.map((session) => session.owns(String(sandbox_id))));
    expect(owners).not.toContain(true);
  });
});
