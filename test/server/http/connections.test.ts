/** What connections of the listener speak besides HTTP/1.1. */
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { text as streamText } from 'node:stream/consumers';
import { expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import { INITIALIZE, startHttp } from './support/http-server.ts';
import { ANN, BOB, CLAIMS, startPreview, textOf, visit } from './support/preview.ts';

it('requests over HTTP/2 are for previews, as many at a time as the client sends', async () => {
  const { server, preview, application } = await startPreview({ flags: { 'preview-access': 'owner' } });
  const session = connectHttp2(server.url);
  onTestFinished(() => session.destroy());
  const send = (path: string, token: string, host = preview.host) =>
    session.request({
      ...{ ':method': 'POST', ':path': path, ':authority': host },
      ...{ authorization: `Bearer ${token}`, ...CLAIMS },
    });
  const stream = send('/events', ANN).end();
  const chunks = stream[Symbol.asyncIterator]();
  expect(String((await chunks.next()).value)).toBe('data: one\n\n');
  const posted = send('/a?b=c', ANN);
  const [[headers], echoed] = await Promise.all([once(posted, 'response'), streamText(posted.end('hello'))]);
  expect(headers).toMatchObject({ ':status': 200, 'x-from': 'sandbox' });
  expect(echoed).toBe('hello');
  application.next();
  expect(String((await chunks.next()).value)).toBe('data: two\n\n');
  for (const seen of application.seen)
    expect(seen).toMatchObject({ host: preview.host, 'x-forwarded-for': '127.0.0.1' });
  expect(JSON.stringify(application.seen)).not.toContain(ANN);
  const statusOf = async (...request: Parameters<typeof send>) => {
    const [answer] = await once(send(...request).end(), 'response');
    return z.looseObject({ ':status': z.int() }).parse(answer)[':status'];
  };
  expect(await statusOf('/', BOB)).toBe(404);
  expect(await statusOf('/mcp', ANN, new URL(server.url).host)).toBe(421);
  expect(application.seen).toHaveLength(2);
  const metrics = await (await fetch(`${server.url}/metrics`)).text();
  expect(metrics).toContain('sandbox_mcp_http_responses_total{status="421"} 1\n');
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

it('a connection without a whole first line has to begin in time', async () => {
  const server = await startHttp({ requestMs: 300 });
  for (const sent of ['', 'P', 'PRI * HTTP/2.0']) {
    const socket = connectSocket(Number(new URL(server.url).port), '127.0.0.1');
    socket.write(sent);
    expect(await streamText(socket)).toBe('');
  }
  // A request may arrive in any pieces.
  const socket = connectSocket(Number(new URL(server.url).port), '127.0.0.1').setNoDelay();
  socket.write('P');
  // By then the first piece has arrived.
  await fetch(`${server.url}/healthz`);
  socket.end('OST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n');
  expect(await streamText(socket)).toMatch(/^HTTP\/1.1 404 /);
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
