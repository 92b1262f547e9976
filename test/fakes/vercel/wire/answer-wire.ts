/** Writes an answer to the wire, complete or as a fault demands. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Fault } from './faults.ts';
import { actsBefore } from './faults.ts';
import { failureReply, type Reply } from './reply.ts';
import type { WireCheck } from './validators.ts';

const NDJSON = 'application/x-ndjson';

export interface Writing {
  check: WireCheck;
  /** Called with each response that the SDK's validators reject. */
  violated(sentence: string): void;
  /** Fires when streams of this answer have reached the platform's time limit. */
  limit: AbortSignal;
}

/** The fault of a call that is never carried out; resolves once the response is complete. */
export async function misbehaveBefore(
  fault: Fault,
  request: IncomingMessage,
  response: ServerResponse,
  writing: Writing,
): Promise<void> {
  const { kind } = fault;
  if (kind === 'reset') {
    request.socket.resetAndDestroy();
  } else if (kind === 'hang') {
    // The client has to time out; the server's end of the connection stays open.
    request.resume();
  } else if (typeof kind === 'number') {
    request.resume();
    if (fault.retryAfter !== undefined) response.setHeader('retry-after', String(fault.retryAfter));
    const invalid = kind === 401 || kind === 403 ? { invalidToken: kind === 401 } : {};
    const code = fault.code ?? CODES[kind] ?? 'internal_server_error';
    await write(failureReply(kind, code, `Fault: ${kind}`, invalid), response, writing);
  } else {
    throw new Error(`${kind} is not a fault before the effect`);
  }
}

const CODES: Record<number, string> = {
  400: 'bad_request',
  401: 'unauthorized',
  403: 'forbidden',
  404: 'not_found',
  409: 'conflict',
  410: 'sandbox_stopped',
  422: 'unprocessable_entity',
  429: 'rate_limited',
  503: 'service_unavailable',
};

/** Sends the answer of a call that was carried out, with its fault. */
export async function misbehaveAfter(
  { kind, lines = 0 }: Fault,
  reply: Reply,
  response: ServerResponse,
  writing: Writing,
): Promise<void> {
  if (actsBefore(kind)) throw new Error(`${kind} is not a fault after the effect`);
  switch (kind) {
    case 'lost':
      response.socket?.resetAndDestroy();
      return;
    case 'hang-after':
      return;
    case 'lost-502':
      return write(failureReply(502, 'bad_gateway', 'Fault: the answer was lost'), response, writing);
    case 'malformed':
      response.writeHead(200, { 'content-type': contentTypeOf(reply) });
      response.end('<html>\u0000 this is not an answer of the API');
      return;
    case 'invalid':
      response.writeHead(200, { 'content-type': contentTypeOf(reply) });
      response.end('{"unexpected":true}\n');
      return;
    case 'wrong-type':
      response.writeHead(200, { 'content-type': 'text/html' });
      response.end('<html>Sign in to the proxy</html>');
      return;
    default:
      return writeHalf(reply, response, { hang: kind === 'hang-mid-body', lines });
  }
}

/**
 * Half of the body, cut in the middle of a line; then either the end of the connection or nothing.
 */
async function writeHalf(
  reply: Reply,
  response: ServerResponse,
  { hang, lines }: { hang: boolean; lines: number },
): Promise<void> {
  const whole = reply.kind === 'json' ? Buffer.from(JSON.stringify(reply.body)) : null;
  response.writeHead(200, {
    'content-type': contentTypeOf(reply),
    ...(whole !== null && { 'content-length': whole.length }),
  });
  const half = whole === null ? await firstParts(reply, lines) : whole.subarray(0, whole.length / 2);
  await send(response, half);
  if (!hang) response.socket?.destroy();
}

/** Some whole lines of a stream and half of the next one; of bytes, half of the first piece. */
async function firstParts(reply: Reply, lines: number): Promise<Buffer> {
  if (reply.kind === 'bytes') {
    for await (const chunk of reply.content) return chunk.subarray(0, chunk.length / 2);
  }
  let text = '';
  if (reply.kind === 'lines') {
    let left = lines;
    for await (const { value } of reply.lines) {
      const line = JSON.stringify(value);
      if (left === 0) return Buffer.from(text + line.slice(0, line.length / 2));
      text += `${line}\n`;
      left -= 1;
    }
  }
  return Buffer.from(`${text}{"str`);
}

function contentTypeOf({ kind }: Reply): string {
  if (kind === 'json') return 'application/json; charset=utf-8';
  return kind === 'lines' ? NDJSON : 'application/octet-stream';
}

/** A response without faults. */
export async function write(reply: Reply, response: ServerResponse, writing: Writing): Promise<void> {
  if (reply.kind === 'json') {
    if (reply.validator !== null) report(writing, writing.check(reply.validator, reply.body));
    response.writeHead(reply.status, { 'content-type': contentTypeOf(reply) });
    response.end(JSON.stringify(reply.body));
    return;
  }
  response.writeHead(200, { 'content-type': contentTypeOf(reply) });
  response.flushHeaders();
  try {
    if (reply.kind === 'bytes') {
      for await (const chunk of reply.content) await send(response, chunk);
    } else {
      for await (const { value, validator } of reply.lines) {
        report(writing, writing.check(validator, value));
        await send(response, `${JSON.stringify(value)}\n`);
        writing.limit.throwIfAborted();
      }
    }
    response.end();
  } catch (error) {
    if (!writing.limit.aborted) throw error;
    // The platform ends a stream that has lasted too long even in the middle of a line.
    response.write('{"stream":"stdout","da', () => response.socket?.destroy());
  }
}

function report(writing: Writing, sentence: string | null): void {
  if (sentence !== null) writing.violated(sentence);
}

/** A client that disconnected before it had the whole response. */
export class ClientDisconnected extends Error {}

/**
 * Waits for a slow reader, so that nothing is buffered here. @throws ClientGone if the client has
 * disconnected, which a write may report before the response counts as destroyed
 */
async function send(response: ServerResponse, data: string | Buffer): Promise<void> {
  if (response.destroyed) throw new ClientDisconnected();
  await new Promise<void>((resolve, reject) => {
    response.write(data, (error) =>
      error ? reject(new ClientDisconnected('', { cause: error })) : resolve(),
    );
  });
}
