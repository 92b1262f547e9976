/**
 * HTTP/1 under a policy: evaluates each request separately, sets the headers of header rules, and forwards
 * it.
 */
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
import { systemErrorCode } from '../../shared/errors.ts';
import type { GatewayContext } from '../connection/context.ts';
import { DialError } from '../connection/dial.ts';
import { endGracefully, httpResponse, refusalBody } from '../connection/refusal.ts';
import type { TrackedConnection } from '../connection/tracked-connection.ts';
import {
  endToEndHeaders,
  failureText,
  headerValues,
  headOf,
  Malformed,
  type RequestHead,
  recordRefusal,
} from './request.ts';
import { type Framing, forwardedHeaders, framingOf, isTrailerAllowed } from './request-framing.ts';
import { forwardUpgrade, upgradeHeaders } from './upgrade.ts';
import type { Route, Target } from './upstream-route.ts';

type HeadersSet = ReadonlyMap<string, string>;

const NOTHING_SET: HeadersSet = new Map();
const CLOSING = ['Connection', 'close'] as const;
/** Limit for a request line with headers, and for those of a response, in bytes: more than servers accept. */
const MAX_HEAD = 65_536;

/** What is needed to serve the requests of one connection. */
interface Serving {
  readonly tracked: TrackedConnection;
  readonly context: GatewayContext;
  readonly route: Route;
  readonly stream: Duplex;
}

/** Serves the requests that arrive on a stream, which must not have been read from. */
export function serveHttp1(
  tracked: TrackedConnection,
  context: GatewayContext,
  route: Route,
  stream: Duplex,
): void {
  const serving = { tracked, context, route, stream };
  // Strict, whatever the options of this process are.
  const server = createServer({
    keepAliveTimeout: 60_000,
    requestTimeout: 0,
    insecureHTTPParser: false,
    maxHeaderSize: MAX_HEAD,
  });
  // The final bytes have been sent: ignore whatever else arrives on the stream.
  let over = false;
  server.on('request', (incoming, answer) => {
    const refused = (error: unknown) => {
      over = true;
      respondWithError(serving, answer, error);
    };
    // Synchronously: the next request may be in the same chunk.
    if (over) incoming.resume();
    else attempt(incoming, refused, (framed) => forward(serving, framed, incoming, answer));
  });
  server.on('upgrade', (incoming, socket, head) => {
    const refused = (error: unknown) => {
      over = true;
      endGracefully(socket, failureText(tracked, route.protocol, error));
    };
    if (over) socket.destroy();
    else attempt(incoming, refused, (framed) => upgrade(serving, framed, incoming, socket, head));
  });
  server.on('connect', (_incoming, socket) => {
    const { message } = recordRefusal(tracked, route.protocol, [], 'CONNECT would bypass the policy');
    endGracefully(socket, httpResponse('403 Forbidden', refusalBody(message)));
  });
  server.on('clientError', (error, socket) => {
    over = true;
    const fault = faultOf(error);
    if (fault === null || !socket.writable) socket.destroy();
    else endGracefully(socket, failureText(tracked, route.protocol, new Malformed(fault)));
  });
  server.emit('connection', stream);
}

/** Why a request cannot be parsed; null if it is the connection that has failed. */
function faultOf(error: Error): string | null {
  const code = systemErrorCode(error) ?? '';
  if (code === 'HPE_HEADER_OVERFLOW') return `its headers exceed ${MAX_HEAD} bytes`;
  return code.startsWith('HPE_') ? `it is not HTTP/1.1 (${code})` : null;
}

interface Framed {
  readonly head: RequestHead;
  readonly framing: Framing;
}

function framedOf(incoming: IncomingMessage): Framed {
  const head = headOf(incoming);
  return { head, framing: framingOf(head) };
}

/** Parses a request at once, then forwards it; either may fail. */
function attempt(
  incoming: IncomingMessage,
  failed: (error: unknown) => void,
  goOn: (framed: Framed) => Promise<void>,
): void {
  try {
    goOn(framedOf(incoming)).catch(failed);
  } catch (error) {
    failed(error);
  }
}

/** The headers that rules set on a request. */
function headersSetOn({ context }: Serving, head: RequestHead, { host: name, path }: Target): HeadersSet {
  return name === null
    ? NOTHING_SET
    : context.policy().headers.headersFor({
        name,
        method: head.method,
        path,
        headerValues: (wanted) => headerValues(head, wanted),
      });
}

function openUpstream(
  { tracked, route }: Serving,
  { method }: RequestHead,
  target: Target,
  headers: string[],
): ClientRequest {
  const upstream = request({
    ...target.via,
    method,
    path: target.path,
    headers,
    setHost: false,
    insecureHTTPParser: false,
    maxHeaderSize: MAX_HEAD,
  });
  if (route.protocol === 'http')
    upstream.once('socket', (socket) => tracked.setDestination(target.server, socket));
  return upstream;
}

async function forward(
  serving: Serving,
  { head, framing }: Framed,
  incoming: IncomingMessage,
  answer: ServerResponse,
): Promise<void> {
  const target = await serving.route.target(head);
  const set = headersSetOn(serving, head, target);
  const extra = framing.doubtful ? CLOSING : serving.route.extra;
  const upstream = openUpstream(serving, head, target, forwardedHeaders(head, framing, set, extra));
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    upstream.once('response', (response) => {
      // The rest of a body that the server did not wait for may still arrive: no other request may follow it.
      if (!upstream.writableFinished) upstream.shouldKeepAlive = false;
      resolve(response);
    });
    upstream.once('error', (error) => {
      // A server may close an idle connection: the program sees the same, and retries.
      if (upstream.reusedSocket) serving.stream.destroy();
      reject(noResponse(target, error));
    });
    // An unsolicited upgrade closes the connection without an error.
    upstream.once('close', () => reject(noResponse(target, null)));
  });
  // A server may respond before it has read the whole request, and close: its response still counts.
  passBody(incoming, upstream, (name) => isTrailerAllowed(name, set)).catch(() => {
    // An incomplete body: the server would take whatever came next for the rest of it.
    if (!incoming.complete) upstream.destroy();
  });
  const response = await answered;
  answer.writeHead(response.statusCode ?? 502, response.statusMessage, endToEndHeaders(response));
  answer.flushHeaders();
  await passBody(response, answer, () => true);
}

/** Streams the body, then the trailers (RFC 9110, 6.5). */
async function passBody(
  from: IncomingMessage,
  to: OutgoingMessage,
  trails: (name: string) => boolean,
): Promise<void> {
  await pipeline(from, to, { end: false });
  const trailers = Object.entries(from.trailers).filter(([name]) => trails(name));
  if (trailers.length > 0) to.addTrailers(Object.fromEntries(trailers));
  to.end();
}

function noResponse(target: Target, error: unknown): DialError {
  if (error instanceof DialError) return error;
  return new DialError(`${target.server} did not answer`, null, error);
}

async function upgrade(
  serving: Serving,
  { head, framing }: Framed,
  incoming: IncomingMessage,
  socket: Duplex,
  after: Buffer,
): Promise<void> {
  // The bytes after it belong to the upgraded connection: the server would take a body for those.
  if (framing.hasBody) throw new Malformed('it requests an upgrade and has a body');
  const target = await serving.route.target(head);
  const wanted = upgradeHeaders(incoming.headers.upgrade ?? '');
  const headers = forwardedHeaders(head, framing, headersSetOn(serving, head, target), wanted);
  const upstream = openUpstream(serving, head, target, headers);
  upstream.end();
  await forwardUpgrade(upstream, wanted, socket, after).catch((error: unknown) => {
    throw noResponse(target, error);
  });
}

function respondWithError(serving: Serving, answer: ServerResponse, error: unknown): void {
  const text = failureText(serving.tracked, serving.route.protocol, error);
  if (answer.headersSent || answer.socket === null) {
    answer.destroy();
    return;
  }
  endGracefully(answer.socket, text);
}
