import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { connect as connectSocket } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { z } from 'zod';
import { connect, type HttpServerOptions, INITIALIZE, startHttp } from './support/http-server.ts';
import { startTokenIssuer } from './support/token-issuer.ts';

const ANN = 'token-of-ann-0123456789';
const BOB = 'token-of-bob-0123456789';
const env = { SANDBOX_MCP_AUTH_TOKENS: `ann:${ANN},bob:${BOB}` };

/** A web application on a free port of this machine, as the engine in memory forwards it. */
async function startApplication() {
  const seen: IncomingHttpHeaders[] = [];
  const server = createServer((request, response) => {
    seen.push(request.headers);
    if (request.url === '/events') {
      response.writeHead(200, { 'content-type': 'text/event-stream' });
      response.write('data: one\n\n');
      server.once('next', () => response.end('data: two\n\n'));
      return;
    }
    request.pipe(response.writeHead(200, { 'x-from': 'sandbox' }));
  });
  server.on('upgrade', ({ headers }) => seen.push(headers));
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`echo ${String(data)}`)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = async (): Promise<void> => {
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
    if (server.listening) await new Promise((resolve) => server.close(resolve));
  };
  onTestFinished(close);
  const address = server.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  return { port, seen, close, next: () => server.emit('next') };
}

/** Names below `localhost` are not resolved everywhere, so the connection is made to the address. */
function visit(
  at: string,
  preview: URL,
  { path = '/', method = 'GET', body = '', headers = {} as Record<string, string> } = {},
) {
  const { port } = new URL(at);
  return new Promise<{ status: number; headers: IncomingHttpHeaders; chunks: AsyncIterable<Buffer> }>(
    (resolve, reject) => {
      const options = { host: '127.0.0.1', port, path, method, headers: { host: preview.host, ...headers } };
      httpRequest({ ...options, agent: false }, (response) =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, chunks: response }),
      )
        .on('error', reject)
        .end(body);
    },
  );
}

async function textOf({ chunks }: { chunks: AsyncIterable<Buffer> }): Promise<string> {
  let text = '';
  for await (const chunk of chunks) text += chunk.toString();
  return text;
}

async function start(options: HttpServerOptions = {}) {
  const application = await startApplication();
  const server = await startHttp({ env, ...options });
  const { client } = await connect(server, ANN);
  const call = async (name: string, args: Record<string, unknown> = {}) =>
    z
      .looseObject({ url: z.string().optional() })
      .parse((await client.callTool({ name, arguments: args })).structuredContent);
  const { sandbox_id } = await call('sandbox_create', { ports: [application.port] });
  const urlNow = async () => (await call('sandbox_domain', { port: application.port })).url ?? '';
  return {
    application,
    server,
    call,
    sandboxId: String(sandbox_id),
    urlNow,
    preview: new URL(await urlNow()),
  };
}

describe('previews', () => {
  it('have a random name that stays the same, on the port of the server', async () => {
    const { server, preview, urlNow, call } = await start();
    expect(preview.hostname).toMatch(/^[0-9a-f]{32}\.localhost$/);
    expect(preview.port).toBe(new URL(server.url).port);
    expect(await urlNow()).toBe(preview.href.replace(/\/$/, ''));
    expect(JSON.stringify(await call('sandbox_list'))).toContain(preview.hostname);
    expect((await start()).preview.hostname).not.toBe(preview.hostname);
  });

  it('pass requests, event streams and WebSockets on', async () => {
    const { server, preview, application } = await start();
    const posted = await visit(server.url, preview, { method: 'POST', body: 'hello', path: '/a?b=c' });
    expect(posted).toMatchObject({ status: 200, headers: { 'x-from': 'sandbox' } });
    expect(await textOf(posted)).toBe('hello');
    expect(application.seen[0]).toMatchObject({ host: preview.host, 'x-forwarded-for': '127.0.0.1' });

    const stream = await visit(server.url, preview, { path: '/events' });
    const events = stream.chunks[Symbol.asyncIterator]();
    expect(String((await events.next()).value)).toBe('data: one\n\n');
    application.next();
    expect(String((await events.next()).value)).toBe('data: two\n\n');

    const socket = new WebSocket(server.url.replace('http', 'ws'), { headers: { host: preview.host } });
    await once(socket, 'open');
    socket.send('x');
    expect(String((await once(socket, 'message'))[0])).toBe('echo x');
    socket.terminate();
  });

  it('end with the sandbox, also if something else uses its port', async () => {
    const { server, preview, call, sandboxId } = await start();
    expect((await visit(server.url, preview)).status).toBe(200);
    await call('sandbox_stop', { sandbox_id: sandboxId });
    expect((await visit(server.url, preview)).status).toBe(404);
    const socket = new WebSocket(server.url.replace('http', 'ws'), { headers: { host: preview.host } });
    const [error] = await once(socket, 'error');
    expect(String(error)).toContain('404');
  });

  it('answer 502 if no program listens, and 404 for a name that nobody has', async () => {
    const { server, preview, application } = await start();
    await application.close();
    expect((await visit(server.url, preview)).status).toBe(502);
    const invented = new URL(`http://${'0'.repeat(32)}.localhost`);
    expect((await visit(server.url, invented)).status).toBe(404);
    // The endpoint is not at these names.
    expect((await visit(server.url, invented, { path: '/mcp' })).status).toBe(404);
  });

  it("may be the owner's only, and the sandbox does not see the token", async () => {
    const { server, preview, application } = await start({ flags: { 'preview-access': 'owner' } });
    const statusFor = async (headers: Record<string, string>) =>
      (await visit(server.url, preview, { headers })).status;
    expect(await statusFor({})).toBe(401);
    expect(await statusFor({ authorization: `Bearer ${BOB}` })).toBe(404);
    expect(application.seen).toEqual([]);
    expect(await statusFor({ authorization: `Bearer ${ANN}` })).toBe(200);
    expect(JSON.stringify(application.seen)).not.toContain(ANN);
  });

  it('pass tokens on to the sandbox, but none for the server itself', async () => {
    const { server, preview, application } = await start();
    for (const token of [ANN, BOB, 'a-token-of-the-program'])
      expect(
        (await visit(server.url, preview, { headers: { authorization: `Bearer ${token}` } })).status,
      ).toBe(200);
    const seen = application.seen.map(({ authorization }) => authorization);
    expect(seen).toEqual([undefined, undefined, 'Bearer a-token-of-the-program']);
    const headers = { host: preview.host, authorization: `Bearer ${ANN}` };
    const socket = new WebSocket(server.url.replace('http', 'ws'), { headers });
    await once(socket, 'open');
    socket.terminate();
    expect(JSON.stringify(application.seen)).not.toContain(ANN);
  });

  const CLAIMS = {
    'x-forwarded-for': '192.0.2.1',
    'x-forwarded-proto': 'https',
    'x-forwarded-prefix': '/admin',
    'x-real-ip': '192.0.2.1',
    forwarded: 'for=192.0.2.1',
  };

  it.each([
    ['nobody', {}],
    ['another address', { 'trusted-proxy': ['192.0.2.1', '::1'] }],
  ])('say who visits, whatever the visitor says, if %s is trusted', async (_name, flags) => {
    const { server, preview, application } = await start({ flags });
    await visit(server.url, preview, { headers: CLAIMS });
    const headers = { host: preview.host, ...CLAIMS };
    const socket = new WebSocket(server.url.replace('http', 'ws'), { headers });
    await once(socket, 'open');
    socket.terminate();
    expect(application.seen).toHaveLength(2);
    for (const seen of application.seen) {
      expect(seen).toMatchObject({
        'x-forwarded-for': '127.0.0.1',
        'x-forwarded-proto': 'http',
        'x-forwarded-host': preview.host,
        'x-forwarded-port': preview.port,
      });
      expect(Object.keys(seen)).not.toContain('x-forwarded-prefix');
      expect(JSON.stringify(seen)).not.toContain('192.0.2.1');
    }
  });

  it('pass on what a trusted reverse proxy says', async () => {
    const flags = { 'trusted-proxy': '127.0.0.0/8' };
    const { server, preview, application } = await start({ flags });
    await visit(server.url, preview, { headers: CLAIMS });
    expect(application.seen).toMatchObject([{ ...CLAIMS, 'x-forwarded-for': '192.0.2.1, 127.0.0.1' }]);
  });

  it('pass every token on if the server has none', async () => {
    const { server, preview, application } = await start({ env: {} });
    await visit(server.url, preview, { headers: { authorization: `Bearer ${ANN}` } });
    expect(application.seen).toMatchObject([{ authorization: `Bearer ${ANN}` }]);
  });

  it('need a token that allows reading, and the keys to check it', async () => {
    const issuer = await startTokenIssuer(() => audience);
    const audience = 'https://sandbox.example/mcp';
    const flags = { 'oauth-issuer': issuer.url, 'oauth-audience': audience };
    const owned = await start({ flags: { ...flags, 'preview-access': 'owner' } });
    const statusFor = async (at: typeof owned, scope: string) => {
      const headers = { authorization: `Bearer ${await issuer.sign({ scope })}` };
      return (await visit(at.server.url, at.preview, { headers })).status;
    };
    expect(await statusFor(owned, 'openid')).toBe(403);
    // Its subject is another principal.
    expect(await statusFor(owned, 'sandbox:read')).toBe(404);
    issuer.mode = 'down';
    const linked = await start({ flags });
    expect(await statusFor(linked, 'sandbox:read')).toBe(503);
    expect(linked.application.seen).toEqual([]);
  });

  it('may be siblings of the server', async () => {
    const flags = { 'public-url': 'https://sandbox.example.com', 'preview-host': 'example.com' };
    const { preview, server } = await start({ flags });
    expect((await visit(server.url, preview)).status).toBe(200);
    const own = new URL('https://sandbox.example.com');
    expect((await visit(server.url, own, { path: '/healthz' })).status).toBe(200);
  });

  it('are at the host that the operator names, with the public scheme', async () => {
    const flags = { 'public-url': 'https://sandbox.example', 'preview-host': 'preview.example' };
    const { preview, server } = await start({ flags });
    expect(preview.href).toMatch(/^https:\/\/[0-9a-f]{32}\.preview\.example\/$/);
    expect((await visit(server.url, preview)).status).toBe(200);
    const without = await start({ flags: { 'public-url': 'https://sandbox.example' } });
    expect(without.preview.hostname).toBe('127.0.0.1');
  });
});

it('a request that offers another protocol is answered as if it did not', async () => {
  const server = await startHttp();
  const headers = {
    connection: 'Upgrade, HTTP2-Settings',
    upgrade: 'h2c',
    'http2-settings': 'AAMAAABkAAQAAP__',
    'content-type': 'application/json',
    accept: 'application/json, text/event-stream',
  };
  const at = new URL(server.url);
  const options = { method: 'POST', path: '/mcp', body: JSON.stringify(INITIALIZE), headers };
  const response = await visit(server.url, at, options);
  expect(response.status).toBe(200);
  expect(await textOf(response)).toContain('protocolVersion');
  const foreign = { ...options, headers: { ...headers, origin: 'https://evil.example' } };
  expect((await visit(server.url, at, foreign)).status).toBe(403);
  const metrics = async () => (await fetch(`${server.url}/metrics`)).text();
  await expect.poll(metrics).toContain('sandbox_mcp_http_responses_total{status="403"} 1\n');
});

it('such a request has to be sent in time as well', async () => {
  const server = await startHttp({ requestMs: 300 });
  const socket = connectSocket(Number(new URL(server.url).port), '127.0.0.1');
  socket.write('POST /mcp HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n');
  socket.write('Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{');
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  expect(answer).toContain('408');
});
