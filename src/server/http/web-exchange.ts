/** Between Node's HTTP and the web's requests and responses, which the protocol's library speaks. */
import { once } from 'node:events';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';

/** The request without its body, which has been read. Its signal fires when the client goes away. */
export function webRequest(request: IncomingMessage, response: ServerResponse): Request {
  const controller = new AbortController();
  response.once('close', () => controller.abort());
  const headers = new Headers();
  for (const [name, value] of Object.entries(request.headers)) {
    for (const single of [value ?? []].flat()) headers.append(name, single);
  }
  return new Request('http://localhost/mcp', {
    method: request.method ?? 'POST',
    headers,
    signal: controller.signal,
  });
}

/** Sends the answer. Resolves when it has been sent, or the client is gone. */
export async function sendWebResponse(answer: Response, response: ServerResponse): Promise<void> {
  if (response.destroyed) {
    await answer.body?.cancel();
    return;
  }
  response.writeHead(answer.status, Object.fromEntries(answer.headers));
  if (answer.body === null) {
    response.end();
    await once(response, 'close');
    return;
  }
  response.flushHeaders();
  try {
    await pipeline(Readable.from(answer.body), response);
  } catch {
    // The client has gone, which has cancelled the request.
  }
}
