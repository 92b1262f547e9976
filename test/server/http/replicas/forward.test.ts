/** Requests that one replica passes on to another. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type RequestListener } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it, onTestFinished, vi } from 'vitest';
import { forward } from '../../../../src/server/http/replicas/forward.ts';
import { certificateFor } from '../../support/certificate.ts';

const SECRET = 'the common secret';

async function listening(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  const address = server.address();
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}

/** A replica with a certificate of its own for `localhost`. */
async function startSecure(listener: RequestListener): Promise<string> {
  const server = createSecureServer(certificateFor('localhost'), listener);
  return `https://localhost:${await listening(server)}`;
}

/** A replica that passes each request on to `url`. */
async function startForwarding(url: string) {
  const failures: (Error | null)[] = [];
  const server = createServer(async (request, response) => {
    const failure = await forward(request, response, { url, secret: SECRET, body: await text(request) });
    failures.push(failure);
    if (failure !== null) response.writeHead(503).end();
  });
  return { url: `http://127.0.0.1:${await listening(server)}`, failures };
}

function post(url: string, body: string): Promise<Response> {
  return fetch(`${url}/mcp?a=b`, { method: 'POST', body, headers: { 'mcp-session-id': 'one' } });
}

it('arrive over HTTPS as they were sent, with the proof that a replica sent them', async () => {
  const received: IncomingMessage[] = [];
  const url = await startSecure(async (request, response) => {
    received.push(request);
    const body = await text(request);
    response.writeHead(201, { 'x-from': 'replica' }).end(`got ${body}`);
  });
  const { url: first, failures } = await startForwarding(url);
  // Nobody but this test knows who issued the certificate.
  vi.stubEnv('NODE_TLS_REJECT_UNAUTHORIZED', '0');
  onTestFinished(() => void vi.unstubAllEnvs());
  const answer = await post(first, 'a body');
  expect([answer.status, answer.headers.get('x-from'), await answer.text()]).toEqual([
    201,
    'replica',
    'got a body',
  ]);
  expect(received[0]).toMatchObject({
    method: 'POST',
    url: '/mcp?a=b',
    headers: { 'mcp-session-id': 'one', 'sandbox-mcp-forwarded': SECRET, 'content-length': '6' },
  });
  expect(failures).toEqual([null]);
});

it('are not sent to who has no trusted certificate', async () => {
  let requests = 0;
  const url = await startSecure((_request, response) => {
    requests += 1;
    response.end();
  });
  const { url: first, failures } = await startForwarding(url);
  expect((await post(first, 'a body')).status).toBe(503);
  expect(failures).toEqual([expect.objectContaining({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })]);
  expect(requests).toBe(0);
});

it('can be sent elsewhere if nobody listens, and not once they may have been received', async () => {
  const closed = createServer();
  const port = await listening(closed);
  closed.close();
  const refused = await startForwarding(`http://127.0.0.1:${port}`);
  expect((await post(refused.url, 'a body')).status).toBe(503);
  expect(refused.failures).toEqual([expect.objectContaining({ code: 'ECONNREFUSED' })]);

  const dying = createServer((request) => void request.socket.destroy());
  const broken = await startForwarding(`http://127.0.0.1:${await listening(dying)}`);
  const answer = await post(broken.url, 'a body');
  expect([answer.status, answer.headers.get('retry-after')]).toEqual([502, '1']);
  expect(broken.failures).toEqual([null]);
});

it('can be sent elsewhere by who is ending and has done nothing with them', async () => {
  const ending = createServer((_request, response) => {
    response.writeHead(503, { 'sandbox-mcp-not-served': 'true' }).end('shutting down');
  });
  const { url, failures } = await startForwarding(`http://127.0.0.1:${await listening(ending)}`);
  const answer = await post(url, 'a body');
  expect([answer.status, await answer.text()]).toEqual([503, '']);
  expect(failures).toEqual([expect.objectContaining({ message: 'It is shutting down.' })]);
});

it('leave nothing behind that watches the client, however often they are tried', async () => {
  const closed = createServer();
  const port = await listening(closed);
  closed.close();
  const counts: number[] = [];
  const server = createServer(async (request, response) => {
    const target = { url: `http://127.0.0.1:${port}`, secret: SECRET, body: await text(request) };
    for (let attempt = 0; attempt < 3; attempt++) {
      await forward(request, response, target);
      await nextTurn();
      counts.push(response.listenerCount('close'));
    }
    response.end();
  });
  await post(`http://127.0.0.1:${await listening(server)}`, 'a body');
  expect(new Set(counts).size).toBe(1);
});
