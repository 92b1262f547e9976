/** A program in a sandbox that is visited through its preview. */
import { once } from 'node:events';
import { createServer, request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { onTestFinished } from 'vitest';
import { WebSocketServer } from 'ws';
import { z } from 'zod';
import { connect, type HttpServerOptions, startHttp } from './http-server.ts';

export const ANN = 'token-of-ann-0123456789';
export const BOB = 'token-of-bob-0123456789';
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
export function visit(
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

export async function textOf({ chunks }: { chunks: AsyncIterable<Buffer> }): Promise<string> {
  let text = '';
  for await (const chunk of chunks) text += chunk.toString();
  return text;
}

/** A sandbox of Ann's with an application, and its preview. */
export async function startPreview(options: HttpServerOptions = {}) {
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

/** What visitors, or proxies in front, say about themselves. */
export const CLAIMS = {
  'x-forwarded-for': '192.0.2.1',
  'x-forwarded-proto': 'https',
  'x-forwarded-prefix': '/admin',
  'x-real-ip': '192.0.2.1',
  forwarded: 'for=192.0.2.1',
};
