/** Plain HTTP under a policy: every request is judged by the host that it names, and goes to where that host is found. */
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Carried } from './carried.ts';
import type { GatewayContext } from './context.ts';
import { NotDialled } from './dial.ts';
import { failureText, HOP_BY_HOP, onward, type RequestHead, type Target, targetOf } from './http-request.ts';
import { endReadably, httpAnswer, refusalBody } from './refusal.ts';

/** Serves the requests of a connection. */
export async function serveHttp(carried: Carried, context: GatewayContext): Promise<void> {
  const stream = await carried.connection.take();
  if (stream === null) return;
  const server = createServer({ keepAliveTimeout: 60_000, requestTimeout: 0 });
  server.on('request', (incoming, answer) => {
    forward(carried, context, incoming, answer).catch((error: unknown) => fail(carried, answer, error));
  });
  server.on('upgrade', (incoming, socket, head) => {
    upgrade(carried, context, incoming, socket, head).catch((error: unknown) => {
      endReadably(socket, failureText(carried, error));
    });
  });
  server.on('connect', (_incoming, socket) => {
    carried.judged('http', [], { allowed: false, rule: 'CONNECT would lead past the policy' });
    endReadably(socket, httpAnswer('403 Forbidden', refusalBody(carried.entry.rule)));
  });
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
  });
  server.emit('connection', stream);
}

function headOf(incoming: IncomingMessage): RequestHead {
  return { method: incoming.method ?? 'GET', url: incoming.url ?? '/', rawHeaders: incoming.rawHeaders };
}

function outgoing(carried: Carried, incoming: IncomingMessage, target: Target, extra: readonly string[]) {
  return request({
    host: target.address,
    port: carried.connection.port,
    method: incoming.method,
    path: target.path,
    headers: onward(headOf(incoming), extra),
    setHost: false,
    agent: false,
  });
}

async function forward(
  carried: Carried,
  context: GatewayContext,
  incoming: IncomingMessage,
  answer: ServerResponse,
): Promise<void> {
  const target = await targetOf(carried, context, headOf(incoming));
  const upstream = outgoing(carried, incoming, target, ['Connection', 'close']);
  upstream.once('socket', (socket) => carried.carries(target.address, socket));
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    upstream.once('response', resolve);
    upstream.once('error', (error) =>
      reject(new NotDialled(`${target.address} did not answer`, null, error)),
    );
  });
  // A server may answer before it has read the whole request, and close: its answer still counts.
  pipeline(incoming, upstream).catch(() => undefined);
  const response = await answered;
  answer.writeHead(response.statusCode ?? 502, response.statusMessage, endToEnd(response));
  answer.flushHeaders();
  await pipeline(response, answer);
}

function endToEnd(response: IncomingMessage): string[] {
  const kept: string[] = [];
  for (let index = 0; index < response.rawHeaders.length; index += 2) {
    const name = response.rawHeaders[index] ?? '';
    if (!HOP_BY_HOP.has(name.toLowerCase())) kept.push(name, response.rawHeaders[index + 1] ?? '');
  }
  return kept;
}

async function upgrade(
  carried: Carried,
  context: GatewayContext,
  incoming: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const target = await targetOf(carried, context, headOf(incoming));
  const wanted = ['Connection', 'Upgrade', 'Upgrade', incoming.headers.upgrade ?? ''];
  const upstream = outgoing(carried, incoming, target, wanted);
  upstream.end();
  await new Promise<void>((resolve, reject) => {
    upstream.once('error', (error) =>
      reject(new NotDialled(`${target.address} did not answer`, null, error)),
    );
    upstream.once('response', (response) => {
      response.resume();
      endReadably(socket, httpAnswer(`${response.statusCode} ${response.statusMessage}`, ''));
      resolve();
    });
    upstream.once('upgrade', (response, up, upHead) => {
      const lines = [`HTTP/1.1 101 ${response.statusMessage}`];
      for (let index = 0; index < response.rawHeaders.length; index += 2) {
        lines.push(`${response.rawHeaders[index]}: ${response.rawHeaders[index + 1]}`);
      }
      socket.write(`${lines.join('\r\n')}\r\n\r\n`);
      if (upHead.length > 0) socket.write(upHead);
      if (head.length > 0) up.write(head);
      carried.carries(target.address, up);
      up.on('error', () => socket.destroy());
      socket.on('error', () => up.destroy());
      up.once('close', () => socket.destroy());
      up.pipe(socket);
      socket.pipe(up);
      resolve();
    });
  });
}

function fail(carried: Carried, answer: ServerResponse, error: unknown): void {
  const text = failureText(carried, error);
  if (answer.headersSent || answer.socket === null) {
    answer.destroy();
    return;
  }
  endReadably(answer.socket, text);
}
