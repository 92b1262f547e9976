/** A proxy in front of a registry that may hold or change its answers. */
import { once } from 'node:events';
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';

type Change = (bytes: Buffer) => Buffer;

export interface RegistryProxy {
  readonly host: string;
  /** Returns true if it answers, by `forward` with a changed body or by itself. */
  intercept: (
    request: IncomingMessage,
    response: ServerResponse,
    forward: (change: Change) => void,
  ) => boolean;
  close(): Promise<void>;
}

export async function startRegistryProxy(target: string): Promise<RegistryProxy> {
  const server: Server = createServer((request, response) => {
    const forward = (change: Change) => {
      const { method, headers } = request;
      const upstream = httpRequest(`http://${target}${request.url}`, {
        method,
        headers: { ...headers, host: target },
      });
      upstream.on('response', async (answer) => {
        const chunks: Buffer[] = [];
        for await (const chunk of answer) chunks.push(Buffer.from(chunk));
        const { 'transfer-encoding': _, ...others } = answer.headers;
        response.writeHead(answer.statusCode ?? 502, others).end(change(Buffer.concat(chunks)));
      });
      upstream.end();
    };
    if (!proxy.intercept(request, response, forward)) forward((bytes) => bytes);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  const proxy: RegistryProxy = {
    host: `127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}`,
    intercept: () => false,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return proxy;
}
