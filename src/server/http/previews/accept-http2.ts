/** HTTP/2 without TLS, for clients that know beforehand that a server speaks it (RFC 9113 section 3.3). */
import type { Server } from 'node:http';
import { createServer, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import type { Socket } from 'node:net';
import { type Refusal, refuse } from '../reply.ts';
import type { PreviewProxy } from './preview-proxy.ts';

/** How such a client begins. No request of HTTP/1 does. */
const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n');
/** A connection without traffic takes no more requests after this time; those that are open continue. */
const IDLE_MS = 65_000;
const MAX_STREAMS = 100;

const MISDIRECTED: Refusal = { status: 421, message: 'Only previews are served over HTTP/2 without TLS.' };

/**
 * Serves previews over HTTP/2 on the listener of an HTTP/1 server.
 *
 * @param respond is told of each answer, and the work on it, which may fail
 * @param firstBytesMs how long a client may take to begin
 * @returns `closeAll` ends what the HTTP/1 server does not know of
 */
export function acceptHttp2(
  server: Server,
  previews: Pick<PreviewProxy, 'concerns' | 'handle'>,
  respond: (response: Http2ServerResponse, work: Promise<void>) => void,
  firstBytesMs: number,
): { closeAll(): void } {
  const answer = async (request: Http2ServerRequest, response: Http2ServerResponse): Promise<void> => {
    const { ':authority': authority } = request.headers;
    // As in HTTP/1.
    if (authority !== undefined) request.headers.host = authority;
    if (previews.concerns(request)) return previews.handle(request, response);
    refuse(response, MISDIRECTED);
  };
  const http2 = createServer({ settings: { maxConcurrentStreams: MAX_STREAMS } });
  http2.on('session', (session) => session.setTimeout(IDLE_MS, () => session.close()));
  http2.on('request', (request, response) => respond(response, answer(request, response)));
  const serveHttp1 = server.listeners('connection');
  server.removeAllListeners('connection');
  const open = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    open.add(socket);
    socket.once('close', () => open.delete(socket));
    whenBegun(socket, firstBytesMs, (isHttp2) => {
      if (isHttp2) return http2.emit('connection', socket);
      open.delete(socket);
      for (const serve of serveHttp1) Reflect.apply(serve, server, [socket]);
    });
  });
  return {
    closeAll: () => {
      for (const socket of open) socket.destroy();
    },
  };
}

/** Calls `then` once the first bytes of a connection tell its protocol. They are still to be read. */
function whenBegun(socket: Socket, firstBytesMs: number, then: (isHttp2: boolean) => void): void {
  let held = Buffer.alloc(0);
  const leave = (): void => void socket.destroy();
  const timer = setTimeout(leave, firstBytesMs);
  const onReadable = (): void => {
    const chunk: Buffer | null = socket.read();
    if (chunk === null) return;
    held = Buffer.concat([held, chunk]);
    const begun = held.subarray(0, PREFACE.length);
    const isHttp2 = begun.equals(PREFACE.subarray(0, begun.length));
    if (isHttp2 && begun.length < PREFACE.length) return;
    clearTimeout(timer);
    socket.off('readable', onReadable).off('error', leave).off('end', leave);
    socket.unshift(held);
    then(isHttp2);
  };
  socket.once('close', () => clearTimeout(timer));
  socket.on('readable', onReadable).on('error', leave).on('end', leave);
}
