/** HTTP/1 under a policy: every request is judged by itself, gets what header rules set, and goes where its route says. */
import {
  type ClientRequest,
  createServer,
  type IncomingMessage,
  type OutgoingMessage,
  request,
  type ServerResponse,
} from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Carried } from './carried.ts';
import type { GatewayContext } from './context.ts';
import { NotDialled } from './dial.ts';
import { endToEnd, failureText, headOf, onward, refuseBy } from './http-request.ts';
import type { Route, Target } from './http-route.ts';
import { endReadably, httpAnswer, refusalBody } from './refusal.ts';

const NOTHING_SET: ReadonlyMap<string, string> = new Map();

/** What serving the requests of one connection takes. */
interface Serving {
  readonly carried: Carried;
  readonly context: GatewayContext;
  readonly route: Route;
  readonly stream: Duplex;
}

/** Serves the requests that come on a stream, which must not have been read from. */
export function serveHttp(carried: Carried, context: GatewayContext, route: Route, stream: Duplex): void {
  const serving = { carried, context, route, stream };
  const server = createServer({ keepAliveTimeout: 60_000, requestTimeout: 0 });
  server.on('request', (incoming, answer) => {
    forward(serving, incoming, answer).catch((error: unknown) => fail(serving, answer, error));
  });
  server.on('upgrade', (incoming, socket, head) => {
    upgrade(serving, incoming, socket, head).catch((error: unknown) => {
      endReadably(socket, failureText(carried, route.protocol, error));
    });
  });
  server.on('connect', (_incoming, socket) => {
    const { message } = refuseBy(carried, route.protocol, [], 'CONNECT would lead past the policy');
    endReadably(socket, httpAnswer('403 Forbidden', refusalBody(message)));
  });
  server.on('clientError', (_error, socket) => {
    if (socket.writable) socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n');
  });
  server.emit('connection', stream);
}

function outgoing(
  { carried, context, route }: Serving,
  incoming: IncomingMessage,
  target: Target,
  extra: readonly string[],
): ClientRequest {
  const { host: name, path } = target;
  const method = incoming.method ?? 'GET';
  const set = name === null ? NOTHING_SET : context.policy().headers.headersFor({ name, method, path });
  const upstream = request({
    ...target.via,
    method,
    path,
    headers: onward(headOf(incoming), set, extra),
    setHost: false,
  });
  if (route.protocol === 'http') upstream.once('socket', (socket) => carried.carries(target.server, socket));
  return upstream;
}

async function forward(serving: Serving, incoming: IncomingMessage, answer: ServerResponse): Promise<void> {
  const target = await serving.route.target(headOf(incoming));
  const upstream = outgoing(serving, incoming, target, serving.route.extra);
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    upstream.once('response', resolve);
    upstream.once('error', (error) => {
      // A server may close a connection that was idle: the program is shown the same, and asks again.
      if (upstream.reusedSocket) serving.stream.destroy();
      reject(notAnswered(target, error));
    });
  });
  // A server may answer before it has read the whole request, and close: its answer still counts.
  passBody(incoming, upstream).catch(() => undefined);
  const response = await answered;
  answer.writeHead(response.statusCode ?? 502, response.statusMessage, endToEnd(response));
  answer.flushHeaders();
  await passBody(response, answer);
}

/** The body as it comes, then what comes after it (RFC 9110, 6.5). */
async function passBody(from: IncomingMessage, to: OutgoingMessage): Promise<void> {
  await pipeline(from, to, { end: false });
  if (from.rawTrailers.length > 0) to.addTrailers(from.trailers);
  to.end();
}

function notAnswered(target: Target, error: unknown): NotDialled {
  if (error instanceof NotDialled) return error;
  return new NotDialled(`${target.server} did not answer`, null, error);
}

async function upgrade(
  serving: Serving,
  incoming: IncomingMessage,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const target = await serving.route.target(headOf(incoming));
  const wanted = ['Connection', 'Upgrade', 'Upgrade', incoming.headers.upgrade ?? ''];
  const upstream = outgoing(serving, incoming, target, wanted);
  upstream.end();
  await new Promise<void>((resolve, reject) => {
    upstream.once('error', (error) => reject(notAnswered(target, error)));
    upstream.once('response', (response) => {
      // Not upgraded: an answer like any other, which ends with the connection.
      socket.write(head11(response, [...endToEnd(response, 'transfer-encoding'), 'Connection', 'close']));
      pipeline(response, socket).then(resolve, reject);
    });
    upstream.once('upgrade', (response, up, upHead) => {
      socket.write(head11(response, response.rawHeaders));
      if (upHead.length > 0) socket.write(upHead);
      if (head.length > 0) up.write(head);
      up.on('error', () => socket.destroy());
      socket.on('error', () => up.destroy());
      up.once('close', () => socket.destroy());
      up.pipe(socket);
      socket.pipe(up);
      resolve();
    });
  });
}

function head11(response: IncomingMessage, headers: readonly string[]): string {
  const lines = [`HTTP/1.1 ${response.statusCode} ${response.statusMessage}`];
  for (let index = 0; index < headers.length; index += 2)
    lines.push(`${headers[index]}: ${headers[index + 1]}`);
  return `${lines.join('\r\n')}\r\n\r\n`;
}

function fail(serving: Serving, answer: ServerResponse, error: unknown): void {
  const text = failureText(serving.carried, serving.route.protocol, error);
  if (answer.headersSent || answer.socket === null) {
    answer.destroy();
    return;
  }
  endReadably(answer.socket, text);
}
