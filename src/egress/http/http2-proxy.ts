/**
 * HTTP/2 inside a terminated connection: one outside stream for each inside stream, with the headers of
 * header rules.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  sensitiveHeaders,
} from 'node:http2';
import type { TLSSocket } from 'node:tls';
import { DialError } from '../connection/dial.ts';
import { REFUSED_HEADER } from '../connection/refusal.ts';
import { checkInnerRequest, type TerminatedConnection } from './check-inner-request.ts';
import { WIDE_WINDOW, widenWindows } from './http2-window.ts';
import { failureOf, hostName, Malformed } from './request.ts';
import { isTrailerAllowed } from './request-framing.ts';

/** Each stream may buffer a window of data on both sides. */
const MAX_STREAMS = 100;
const CONNECTION_HEADERS = new Set([
  'connection',
  'http2-settings',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
]);
const { NGHTTP2_FLAG_END_STREAM, NGHTTP2_NO_ERROR, NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR } = constants;

/** The program's request. */
interface InnerRequest {
  readonly stream: ServerHttp2Stream;
  readonly headers: IncomingHttpHeaders;
  /** The trailers. */
  readonly trailers: (set: ReadonlyMap<string, string>) => OutgoingHttpHeaders;
}

/**
 * Serves the streams of a connection; if there is no connection to the server, answers them with the reason.
 */
export function serveHttp2(
  of: TerminatedConnection,
  secure: TLSSocket,
  upstream: TLSSocket | DialError,
): void {
  const inside = performServerHandshake(secure, {
    settings: { maxConcurrentStreams: MAX_STREAMS, enableConnectProtocol: false },
  });
  inside.on('error', () => inside.destroy());
  // Both sockets can be half-open, which HTTP/2 has no use for: a side that has ended is gone.
  secure.once('end', () => inside.destroy());
  if (upstream instanceof DialError) {
    inside.on('stream', (stream) => {
      of.tracked.recordFailure(upstream.message);
      respondWithError(of, stream, upstream);
      inside.close();
    });
    return;
  }
  const outside = connect(`https://${of.name}`, {
    createConnection: () => upstream,
    settings: { enablePush: false, initialWindowSize: WIDE_WINDOW },
  });
  const track = closeWithServer(upstream, outside);
  const whenWindowsAllow = widenWindows(outside);
  linkSessions(inside, outside);
  inside.on('stream', (stream, headers) => {
    // The request may have to wait, but the trailers arrive whenever they arrive.
    stream.on('error', () => stream.destroy());
    const trailers = trailersOf(stream);
    whenWindowsAllow(stream, (late) => {
      try {
        if (late !== null) throw late;
        const request = exchange(of, { stream, headers, trailers }, outside);
        if (request !== null) track(request);
        return request;
      } catch (error) {
        respondWithError(of, stream, error);
        return null;
      }
    });
  });
}

/**
 * Ties both sessions together: once one accepts no more streams, the other finishes only those that are open.
 */
function linkSessions(inside: ServerHttp2Session, outside: ClientHttp2Session): void {
  outside.on('error', () => outside.destroy());
  outside.on('goaway', () => inside.close());
  outside.once('close', () => inside.close());
  inside.on('goaway', () => outside.close());
  inside.once('close', () => outside.destroy());
}

/**
 * After the server has closed its connection, complete responses may still be read, and incomplete ones are
 * reset. Destroying the session would lose the former and end the latter as if they were complete.
 * @returns a function to call with each stream
 */
function closeWithServer(
  upstream: TLSSocket,
  outside: ClientHttp2Session,
): (request: ClientHttp2Stream) => void {
  const open = new Set<ClientHttp2Stream>();
  const cut = () => {
    for (const request of open) if (!request.closed) request.close(NGHTTP2_INTERNAL_ERROR);
  };
  // Data from before the end may be unread still: Node does not read while it writes, which ends by the next
  // turn.
  upstream.once('end', () =>
    setImmediate(() => {
      cut();
      outside.close();
    }),
  );
  return (request) => {
    open.add(request);
    request.once('close', () => open.delete(request));
  };
}

/** Forwards a request; null if there is none to forward. */
function exchange(
  of: TerminatedConnection,
  { stream, headers, trailers }: InnerRequest,
  outside: ClientHttp2Session,
): ClientHttp2Stream | null {
  const authority = headers[':authority'] ?? headers.host ?? '';
  const several = headers.host !== undefined && headers.host !== authority;
  checkInnerRequest(of, several ? null : hostName(authority));
  // Like an HTTP/1 tunnel, it would bypass the policy; the extended form is not offered.
  if (headers[':method'] === 'CONNECT') {
    stream.close(constants.NGHTTP2_REFUSED_STREAM);
    return null;
  }
  checkHead(headers);
  const ended = stream.endAfterHeaders;
  const set = of.context.policy().headers.headersFor({
    name: of.name,
    method: headers[':method'] ?? 'GET',
    path: headers[':path'] ?? '/',
    headerValues: (name) => [headers[name] ?? []].flat(),
  });
  const request = outside.request(forwardedHeaders(headers, authority, set), {
    endStream: ended,
    waitForTrailers: !ended,
  });
  linkStreams(stream, request);
  passAnswer(stream, request);
  if (!ended) passRequestBody(stream, request, () => trailers(set));
  return request;
}

/**
 * A server may forward the request over HTTP/1, where these would split it or change where it ends (RFC 9113,
 * 8.2.2 and 8.3.1). Wrong lengths and connection headers end the stream before they get here.
 */
function checkHead(headers: IncomingHttpHeaders): void {
  const path = headers[':path'] ?? '';
  const asterisk = path === '*' && headers[':method'] === 'OPTIONS';
  if (headers[':scheme'] !== 'https') throw new Malformed('its scheme is not https');
  if (!asterisk && !/^\/[\x21-\x7e\x80-\xff]*$/.test(path))
    throw new Malformed('its path does not begin with a slash or contains an invalid character');
  for (const [name, value] of Object.entries(headers)) {
    if (CONNECTION_HEADERS.has(name))
      throw new Malformed(`it has the header ${name}, which HTTP/2 does not allow`);
    if ([value].flat().some((each) => /[\0\r\n]/.test(each ?? '')))
      throw new Malformed('one of its headers contains an invalid character');
  }
  const length = headers['content-length'];
  if (length !== undefined && !/^\d{1,15}$/.test(length))
    throw new Malformed('its Content-Length is not a plain number');
}

/**
 * The headers of a request with what the rules set; those are marked as never indexed, so that no hop stores
 * them.
 */
function forwardedHeaders(
  headers: IncomingHttpHeaders,
  authority: string,
  set: ReadonlyMap<string, string>,
): OutgoingHttpHeaders {
  const { host: _host, ...rest } = headers;
  return {
    ...rest,
    ':authority': authority,
    ':scheme': 'https',
    ...Object.fromEntries(set),
    [sensitiveHeaders]: [...set.keys()],
  };
}

/** Collects the trailers. Returns those that may be sent along with what the rules set. */
function trailersOf(stream: ServerHttp2Stream): InnerRequest['trailers'] {
  let trailers: IncomingHttpHeaders = {};
  stream.on('trailers', (given) => {
    trailers = given;
  });
  return (set) =>
    Object.fromEntries(Object.entries(trailers).filter(([name]) => isTrailerAllowed(name, set)));
}

function passRequestBody(
  stream: ServerHttp2Stream,
  request: ClientHttp2Stream,
  trailers: () => OutgoingHttpHeaders,
): void {
  request.on('wantTrailers', () => request.sendTrailers(trailers()));
  stream.pipe(request);
}

function passAnswer(stream: ServerHttp2Stream, request: ClientHttp2Stream): void {
  let trailers: OutgoingHttpHeaders = {};
  // Interim responses (100, 103).
  request.on('headers', (headers) => {
    if (!stream.destroyed && !stream.headersSent) stream.additionalHeaders(headers);
  });
  request.on('response', (headers, flags) => {
    if (stream.destroyed) return;
    const endStream = (flags & NGHTTP2_FLAG_END_STREAM) !== 0;
    stream.respond(headers, { endStream, waitForTrailers: !endStream });
    if (!endStream) request.pipe(stream);
  });
  request.on('trailers', (given) => {
    trailers = given;
  });
  stream.on('wantTrailers', () => stream.sendTrailers(trailers));
}

/** Forwards a stream reset from one side to the other, with the same code. */
function linkStreams(stream: ServerHttp2Stream, request: ClientHttp2Stream): void {
  stream.on('error', () => request.close(NGHTTP2_CANCEL));
  request.on('error', () => stream.close(request.rstCode || NGHTTP2_CANCEL));
  stream.once('close', () => {
    if (!request.closed) request.close(stream.rstCode);
  });
  request.once('close', () => {
    if (stream.closed) return;
    if (request.rstCode !== NGHTTP2_NO_ERROR) stream.close(request.rstCode);
    else if (!stream.headersSent || !request.readableEnded) stream.close(NGHTTP2_INTERNAL_ERROR);
  });
}

function respondWithError(
  { tracked }: TerminatedConnection,
  stream: ServerHttp2Stream,
  error: unknown,
): void {
  const { status, body, refused } = failureOf(tracked, 'tls', error);
  stream.on('error', () => stream.destroy());
  stream.resume();
  stream.respond({
    ':status': status,
    'content-type': 'text/plain; charset=utf-8',
    ...(refused && { [REFUSED_HEADER[0].toLowerCase()]: REFUSED_HEADER[1] }),
  });
  stream.end(body);
}
