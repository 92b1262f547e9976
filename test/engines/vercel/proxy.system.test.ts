/** Requests through a company proxy, and bypassing it. */
import { once } from 'node:events';
import { createServer, type IncomingMessage } from 'node:http';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { expect, it } from 'vitest';
import { createRequest, timeoutSignal } from '../../conformance/support/requests.ts';
import { startVercelApi } from '../../fakes/vercel/index.ts';
import { openVercelEngine } from './support/vercel-engines.ts';

/** A tunnelling proxy that counts its requests. */
async function startProxy(): Promise<{ url: string; requested: string[]; close(): Promise<void> }> {
  const requested: string[] = [];
  const server = createServer();
  server.on('connect', (request: IncomingMessage, client: Duplex, head: Buffer) => {
    requested.push(request.url ?? '');
    const { hostname, port } = new URL(`http://${request.url}`);
    const upstream = connect(Number(port), hostname, () => {
      client.write('HTTP/1.1 200 Connection established\r\n\r\n');
      upstream.write(head);
      upstream.pipe(client).pipe(upstream);
    });
    upstream.on('error', () => client.destroy());
    client.on('error', () => upstream.destroy());
    client.on('close', () => upstream.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `http://127.0.0.1:${port}`,
    requested,
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

it('uses the proxy from the environment, except for excluded hosts', async () => {
  const [api, proxy] = [await startVercelApi(), await startProxy()];
  const through = await openVercelEngine(api, { proxy: { http: proxy.url, https: proxy.url, no: null } });
  const past = await openVercelEngine(api, { proxy: { http: proxy.url, https: null, no: '127.0.0.1' } });
  try {
    const { sandboxId } = await through.engine.create(createRequest(), timeoutSignal());
    await through.engine.forget(sandboxId, timeoutSignal());
    expect(proxy.requested.length).toBeGreaterThan(0);
    expect(new Set(proxy.requested)).toEqual(new Set([new URL(api.url).host]));
    const before = proxy.requested.length;
    await past.engine.list({ limit: 1, since: null, until: null, cursor: null }, timeoutSignal());
    expect(proxy.requested.length).toBe(before);
    expect(api.calls.at(-1)?.operation).toBe('sandbox.list');
  } finally {
    await Promise.all([through.engine.close(), past.engine.close()]);
    await Promise.all([through.remove(), past.remove()]);
    await proxy.close();
    await api.close();
  }
});
