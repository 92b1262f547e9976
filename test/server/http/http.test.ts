import { request as httpRequest } from 'node:http';
import { connect as connectSocket } from 'node:net';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { serveHttp } from '../../../src/server/http/serve-http.ts';
import { createLogger } from '../../../src/shared/log.ts';
import { FakeClock, openWorld } from '../../registry/support/registry.ts';
import { config, deferred, textOf, toolOf } from '../support/connected-server.ts';
import { connect, INITIALIZE, post, startHttp } from './support/http-server.ts';

const echo = toolOf('echo', async ({ text }) => text);

/** The status of a request whose `Host` or other headers `fetch` would not send. */
function statusOf(url: string, headers: Record<string, string>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    httpRequest(url, { method: 'GET', headers, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .on('error', reject)
      .end();
  });
}

async function openSession(server: { url: string } & Parameters<typeof post>[0]): Promise<string> {
  const response = await post(server, INITIALIZE);
  await response.text();
  return response.headers.get('mcp-session-id') ?? '';
}

describe('HTTP sessions', () => {
  it('serve several clients, each with a session of its own', async () => {
    const server = await startHttp();
    const [one, two] = await Promise.all([connect(server), connect(server)]);
    const created = await one.client.callTool({ name: 'sandbox_create', arguments: {} });
    expect(textOf(created)).toContain('sbx_');
    const [own, other] = await Promise.all(
      [one, two].map(async ({ client }) => textOf(await client.callTool({ name: 'sandbox_get' }))),
    );
    expect(own).toContain('running');
    expect(other).toContain('no current sandbox');
    expect(one.transport.sessionId).not.toBe(two.transport.sessionId);
  });

  it('end with DELETE, and their sandboxes with them', async () => {
    const server = await startHttp();
    const { client, transport } = await connect(server);
    await client.callTool({ name: 'sandbox_create', arguments: {} });
    const session = transport.sessionId ?? '';
    await transport.terminateSession();
    const { client: other } = await connect(server);
    const listed = await other.callTool({ name: 'sandbox_list' });
    expect(listed.structuredContent).toMatchObject({ sandboxes: [{ status: 'stopped' }] });
    const again = await post(
      server,
      { jsonrpc: '2.0', id: 2, method: 'ping' },
      { 'mcp-session-id': session },
    );
    expect(again.status).toBe(404);
  });

  it('end when idle, but not while a stream is open', async () => {
    const clock = new FakeClock();
    const server = await startHttp({ clock, flags: { 'session-idle': '60s' } });
    const id = await openSession(server);
    const headers = { 'mcp-session-id': id, accept: 'text/event-stream' };
    const stopped = new AbortController();
    const stream = await fetch(`${server.url}/mcp`, { headers, signal: stopped.signal });
    expect(stream.status).toBe(200);
    clock.advance(61_000);
    const ping = { jsonrpc: '2.0', id: 2, method: 'ping' };
    expect((await post(server, ping, { 'mcp-session-id': id })).status).toBe(200);
    const armed = clock.nextTimer();
    stopped.abort();
    await armed;
    clock.advance(61_000);
    await expect.poll(async () => (await post(server, ping, { 'mcp-session-id': id })).status).toBe(404);
  });

  it('are never silent for long while a stream is open, so that proxies keep it', async () => {
    vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] });
    onTestFinished(() => void vi.useRealTimers());
    const server = await startHttp({ tools: [echo] });
    const headers = { 'mcp-session-id': await openSession(server), accept: 'text/event-stream' };
    const reader = (await fetch(`${server.url}/mcp`, { headers })).body?.getReader();
    vi.advanceTimersByTime(30_000);
    expect(new TextDecoder().decode((await reader?.read())?.value)).toMatch(/^: keepalive/);
    await reader?.cancel();
  });

  it('are limited in number, and make room when they end', async () => {
    const server = await startHttp({ flags: { 'max-sessions': '3', 'max-principal-sessions': '2' } });
    const first = await openSession(server);
    await openSession(server);
    const refused = await post(server, INITIALIZE);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('30');
    expect(await refused.text()).toContain('limit of 2 sessions');
    await fetch(`${server.url}/mcp`, { method: 'DELETE', headers: { 'mcp-session-id': first } });
    expect((await post(server, INITIALIZE)).status).toBe(200);
  });

  it('resume a stream that broke', async () => {
    const go = deferred<null>();
    const slow = toolOf('slow', async () => {
      await go.promise;
      return 'done at last';
    });
    const server = await startHttp({ tools: [slow] });
    // Older revisions have no event that gives a stream its first id.
    const version = { 'mcp-protocol-version': '2025-11-25' };
    const session = { 'mcp-session-id': await openSession(server), ...version };
    const call = { jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name: 'slow', arguments: {} } };
    const response = await post(server, call, session);
    const reader = response.body?.getReader();
    const first = new TextDecoder().decode((await reader?.read())?.value);
    const lastEventId = /^id: (.*)$/m.exec(first)?.[1] ?? '';
    await reader?.cancel();
    go.resolve(null);
    const headers = { ...session, accept: 'text/event-stream', 'last-event-id': lastEventId };
    await expect
      .poll(async () => {
        const resumed = await fetch(`${server.url}/mcp`, { headers });
        const chunk = (await resumed.body?.getReader().read())?.value;
        return resumed.status === 200 ? new TextDecoder().decode(chunk) : '';
      })
      .toContain('done at last');
    for (const id of ['nonsense', `${lastEventId}9`, 'other-stream:1']) {
      const replayed = await fetch(`${server.url}/mcp`, { headers: { ...headers, 'last-event-id': id } });
      expect(replayed.status).toBe(400);
    }
  });
});

describe('SIGTERM', () => {
  it('lets running calls finish, refuses new ones, and ends the sessions', async () => {
    const entered = deferred<null>();
    const go = deferred<null>();
    const slow = toolOf('slow', async () => {
      entered.resolve(null);
      await go.promise;
      return 'finished';
    });
    const server = await startHttp({ tools: [slow] });
    const { client } = await connect(server);
    const call = client.callTool({ name: 'slow' });
    await entered.promise;
    server.signal();
    await expect(client.ping()).rejects.toThrow();
    const refused = await post(server, INITIALIZE);
    expect([refused.status, refused.headers.get('retry-after')]).toEqual([503, '5']);
    expect((await fetch(`${server.url}/healthz`)).status).toBe(503);
    go.resolve(null);
    expect(textOf(await call)).toContain('finished');
    expect(await server.ended).toBe('signal');
  });

  it('answers calls that take too long with an error', async () => {
    const entered = deferred<null>();
    const stuck = toolOf('stuck', async (_args, { signal }) => {
      entered.resolve(null);
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      throw signal.reason;
    });
    const server = await startHttp({ tools: [stuck], drainMs: 10 });
    const { client } = await connect(server);
    const call = client.callTool({ name: 'stuck' });
    await entered.promise;
    server.signal();
    expect((await call).isError).toBe(true);
    await server.ended;
  });
});

it('says which address cannot be used', async () => {
  const { port } = new URL((await startHttp({ tools: [echo] })).url);
  const world = openWorld();
  const log = createLogger('silent');
  const http = { ...config.http, port: Number(port) };
  const second = serveHttp({ ...world, log, config: { ...config, http }, tools: [echo], version: '1' });
  await expect(second).rejects.toMatchObject({
    code: 'unavailable',
    message: `Cannot listen on 127.0.0.1, port ${port} (EADDRINUSE).`,
  });
});

describe('bad requests', () => {
  it.each<[string, number, unknown, Record<string, string>]>([
    ['no session', 400, { jsonrpc: '2.0', id: 1, method: 'ping' }, {}],
    ['an unknown session', 404, { jsonrpc: '2.0', id: 1, method: 'ping' }, { 'mcp-session-id': 'x' }],
    ['garbage', 400, '{"jsonrpc": "2.0", "id"', {}],
    ['a batch', 400, [INITIALIZE, INITIALIZE], {}],
    ['an empty batch', 400, [], {}],
    ['no JSON-RPC', 400, { hello: 'world' }, {}],
    ['invalid parameters', 400, { ...INITIALIZE, params: {} }, {}],
    ['another content type', 415, INITIALIZE, { 'content-type': 'text/plain' }],
    ['a compressed body', 415, INITIALIZE, { 'content-encoding': 'gzip' }],
    ['no acceptable answer', 406, INITIALIZE, { accept: 'text/html' }],
    ['a body over the limit', 413, { ...INITIALIZE, extra: 'x'.repeat(20_000) }, {}],
    ['a foreign origin', 403, INITIALIZE, { origin: 'https://evil.example' }],
    ['the origin of a file', 403, INITIALIZE, { origin: 'null' }],
  ])('%s is answered with %i', async (_name, status, message, headers) => {
    const server = await startHttp({ tools: [echo], maxMessageBytes: 10_000 });
    const response = await post(server, message, headers);
    expect(response.status).toBe(status);
    expect(await response.json()).toMatchObject({ jsonrpc: '2.0', error: { message: expect.any(String) } });
    expect((await post(server, INITIALIZE)).status).toBe(200);
  });

  it('checks Host, so that a rebound name reaches nothing', async () => {
    const server = await startHttp({ tools: [echo], flags: { 'allow-host': 'Sandbox.example' } });
    const { port } = new URL(server.url);
    for (const host of ['evil.example', `evil.example:${port}`, '10.0.0.1', 'localhost.evil.example', ' ']) {
      expect(await statusOf(`${server.url}/mcp`, { host })).toBe(403);
    }
    for (const host of ['localhost', `LOCALHOST:${port}`, '127.0.0.1', '[::1]:80', 'sandbox.example']) {
      expect(await statusOf(`${server.url}/mcp`, { host })).toBe(400);
    }
    expect(await statusOf(`${server.url}/healthz`, { host: '10.0.0.1' })).toBe(200);
  });

  it('lets its own pages call, and not those of a program in a sandbox', async () => {
    const server = await startHttp({ tools: [echo] });
    const { port } = new URL(server.url);
    const statusFor = async (origin: string, host = `127.0.0.1:${port}`) =>
      statusOf(`${server.url}/mcp`, { host, origin });
    for (const name of ['127.0.0.1', 'localhost', '[::1]'])
      expect(await statusFor(`http://${name}:${port}`)).toBe(400);
    expect(await statusFor('https://localhost', 'localhost:443')).toBe(400);
    for (const origin of ['http://127.0.0.1:1', 'http://localhost', 'https://[::1]:1', 'https://localhost'])
      expect(await statusFor(origin)).toBe(403);
    expect(await statusFor('http://localhost', 'localhost')).toBe(400);
    expect(await statusFor('http://localhost:1', 'localhost')).toBe(403);
  });

  it('is not called by pages of the machine of its client', async () => {
    const flags = { 'public-url': 'https://sandbox.example' };
    const server = await startHttp({ tools: [echo], flags });
    const statusFor = (origin: string) => statusOf(`${server.url}/mcp`, { host: 'sandbox.example', origin });
    expect(await statusFor('https://localhost')).toBe(403);
    expect(await statusFor('https://sandbox.example')).toBe(400);
  });

  it('lets pages of allowed origins call', async () => {
    const origin = 'https://chat.example';
    const server = await startHttp({ tools: [echo], flags: { 'allow-origin': origin } });
    const preflight = await fetch(`${server.url}/mcp`, { method: 'OPTIONS', headers: { origin } });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-origin')).toBe(origin);
    expect((await post(server, INITIALIZE, { origin })).status).toBe(200);
  });

  it('ends slow and half requests, and serves others meanwhile', async () => {
    const server = await startHttp({ tools: [echo], requestMs: 300 });
    const head = `POST /mcp HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`;
    const socket = connectSocket(Number(new URL(server.url).port), '127.0.0.1');
    const half = connectSocket(Number(new URL(server.url).port), '127.0.0.1');
    half.write(head, () => half.destroy());
    socket.write(head);
    expect((await post(server, INITIALIZE)).status).toBe(200);
    let answer = '';
    for await (const chunk of socket) answer += String(chunk);
    expect(answer).toContain('408');
  });

  it('survives a thousand sessions that are opened and dropped', async () => {
    const clock = new FakeClock();
    const flags = { 'max-sessions': '1000', 'max-principal-sessions': '1000' };
    const server = await startHttp({ tools: [echo], clock, flags });
    const statuses = new Map<number, number>();
    for (let round = 0; round < 20; round++) {
      const opened = Array.from({ length: 50 }, async () => {
        const response = await post(server, INITIALIZE);
        await response.text();
        statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
      });
      await Promise.all(opened);
    }
    expect([...statuses]).toEqual([[200, 1_000]]);
    expect((await post(server, INITIALIZE)).status).toBe(503);
    await expect
      .poll(async () => {
        clock.advance(1_800_001);
        return (await post(server, INITIALIZE)).status;
      })
      .toBe(200);
  });
});
