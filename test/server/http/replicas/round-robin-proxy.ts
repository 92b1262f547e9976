/** A load balancer without affinity: each connection goes to the next replica that accepts it. */
import { createServer, type IncomingMessage, type ServerResponse, request as send } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';

export interface RoundRobinProxy {
  /** Without a path. */
  readonly url: string;
  close(): void;
}

/** `upstreams` may change. */
export async function startRoundRobinProxy(upstreams: readonly string[]): Promise<RoundRobinProxy> {
  let turn = 0;
  const pass = (request: IncomingMessage, response: ServerResponse, body: Buffer, tries: number): void => {
    const upstream = upstreams[turn % upstreams.length] ?? '';
    turn += 1;
    const options = { method: request.method ?? 'GET', headers: request.headers, agent: false };
    const sent = send(new URL(request.url ?? '/', upstream), options, (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      response.flushHeaders();
      answer.pipe(response);
      answer.once('close', () => {
        if (!answer.complete) response.destroy();
      });
    });
    response.once('close', () => sent.destroy());
    sent.once('error', (error) => {
      const isRefused = 'code' in error && error.code === 'ECONNREFUSED';
      if (isRefused && tries < upstreams.length) return pass(request, response, body, tries + 1);
      if (response.headersSent) response.destroy();
      else response.writeHead(502).end();
    });
    sent.end(body);
  };
  const server = createServer((request, response) => {
    buffer(request).then(
      (body) => pass(request, response, body, 1),
      () => response.destroy(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address: AddressInfo | string | null = server.address();
  const port = typeof address === 'object' ? address?.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
