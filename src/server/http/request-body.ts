import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import type { Refusal } from './reply.ts';

type Bytes = { bytes: Buffer } | { refused: Refusal } | { aborted: true };
export type RequestBody = { text: string } | Exclude<Bytes, { bytes: Buffer }>;

/** Reads a request's body of JSON text; as `readBytes`. */
export async function readBody(request: IncomingMessage, limitBytes: number): Promise<RequestBody> {
  const type = request.headers['content-type'] ?? '';
  if (type.split(';')[0]?.trim().toLowerCase() !== 'application/json')
    return { refused: { status: 415, message: 'Content-Type must be application/json.' } };
  if ((request.headers['content-encoding'] ?? 'identity') !== 'identity')
    return { refused: { status: 415, message: 'Content-Encoding is not supported.' } };
  const body = await readBytes(request, limitBytes);
  return 'bytes' in body ? { text: body.bytes.toString('utf8') } : body;
}

/**
 * Reads a request's body of at most `limitBytes`. `aborted` if the client went away; slow clients are ended
 * by the server's own timeout.
 */
export async function readBytes(request: IncomingMessage, limitBytes: number): Promise<Bytes> {
  if (Number(request.headers['content-length'] ?? 0) > limitBytes) return { refused: tooLarge(limitBytes) };
  const chunks: Buffer[] = [];
  let size = 0;
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
    // What follows is read and dropped, so that the client can read the answer.
    if (size <= limitBytes) chunks.push(chunk);
    else chunks.length = 0;
    if (size > 2 * limitBytes) request.destroy();
  });
  try {
    await once(request, 'end');
  } catch {
    return { aborted: true };
  }
  if (size > limitBytes) return { refused: tooLarge(limitBytes) };
  return { bytes: Buffer.concat(chunks) };
}

function tooLarge(limitBytes: number): Refusal {
  const message = `The message exceeds the limit of ${limitBytes} bytes.`;
  return { status: 413, message, headers: { connection: 'close' } };
}
