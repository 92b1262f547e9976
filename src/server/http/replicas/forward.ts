/** Passes a request on to the replica that serves its session. */
import { createHash, timingSafeEqual } from 'node:crypto';
import {
  type IncomingHttpHeaders,
  type IncomingMessage,
  type ServerResponse,
  request as sendPlain,
} from 'node:http';
import { request as sendSecure } from 'node:https';
import { refuse } from '../reply.ts';

const FORWARDED = 'sandbox-mcp-forwarded';
/** A replica that is ending says so of a request with which it has done nothing. */
export const NOT_SERVED = 'sandbox-mcp-not-served';
/** About one connection, not about the message. */
const HOP_BY_HOP = ['connection', 'keep-alive', 'transfer-encoding', 'upgrade', 'te', 'trailer', 'expect'];
/** A machine that is gone does not refuse a connection. */
const CONNECT_MS = 2_000;

/** Whether another replica has sent this request, which proves it by their common secret. */
export function isForwarded({ headers }: IncomingMessage, secret: string): boolean {
  const given = headers[FORWARDED];
  return typeof given === 'string' && timingSafeEqual(digest(given), digest(secret));
}

/**
 * Sends a request to another replica, and its answer back. Null once that is done, or the client has gone; the
 * reason if the replica was not reached, or has done nothing with the request. One that ends in the middle breaks the
 * answer, which a client can resume.
 *
 * @param body as it was received; null if there is none
 */
export async function forward(
  request: IncomingMessage,
  response: ServerResponse,
  { url, secret, body }: { url: string; secret: string; body: string | null },
): Promise<Error | null> {
  const headers: IncomingHttpHeaders = { ...request.headers, [FORWARDED]: secret };
  for (const name of [...HOP_BY_HOP, 'content-length']) delete headers[name];
  if (body !== null) headers['content-length'] = String(Buffer.byteLength(body));
  const { method = 'POST' } = request;
  if (response.destroyed) return null;
  const target = new URL(request.url ?? '/mcp', url);
  const [send, connected] =
    target.protocol === 'https:' ? [sendSecure, 'secureConnect'] : [sendPlain, 'connect'];
  return new Promise((resolve) => {
    let isConnected = false;
    // A connection that is kept may be closing, and then nobody knows whether the request was received.
    const sent = send(target, { method, headers, agent: false }, (answer) => {
      if (answer.headers[NOT_SERVED] !== undefined) {
        answer.resume();
        return resolve(new Error('It is shutting down.'));
      }
      const passed = Object.entries(answer.headers).filter(([name]) => !HOP_BY_HOP.includes(name));
      response.writeHead(answer.statusCode ?? 502, Object.fromEntries(passed));
      response.flushHeaders();
      answer.pipe(response);
      answer.once('error', () => response.destroy());
      answer.once('close', () => {
        if (!answer.complete) response.destroy();
        resolve(null);
      });
    });
    const connecting = setTimeout(() => sent.destroy(new Error('It accepts no connections.')), CONNECT_MS);
    sent.once('socket', (socket) =>
      socket.once(connected, () => {
        isConnected = true;
        clearTimeout(connecting);
      }),
    );
    const stop = (): void => void sent.destroy();
    response.once('close', stop);
    sent.once('close', () => {
      clearTimeout(connecting);
      response.off('close', stop);
    });
    sent.once('error', (error) => {
      if (response.headersSent || response.destroyed) return resolve(null);
      if (!isConnected) return resolve(error);
      refuse(response, {
        status: 502,
        message: 'The replica that serves this session has ended during the request; check what it has done.',
        headers: { 'retry-after': '1' },
      });
      resolve(null);
    });
    sent.end(body ?? undefined);
  });
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
