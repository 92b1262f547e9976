/** The connection to a terminal, whose server may start later than its URL is known. */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { expect, it, onTestFinished } from 'vitest';
import { WebSocketServer } from 'ws';
import { DEFAULT_TUNING } from '../../../src/engines/vercel/http/dispatchers.ts';
import { connectShell } from '../../../src/engines/vercel/shells/shell-socket.ts';
import { timeoutSignal } from '../../conformance/support/requests.ts';

const OPTIONS = {
  proxy: { http: null, https: null, no: null },
  tuning: { ...DEFAULT_TUNING, retryBaseMs: 1 },
  plainAllowed: true,
};

/** Answers each attempt with the next of these statuses, and accepts the connection when none are left. */
async function listen(statuses: number[]) {
  const sockets = new WebSocketServer({ noServer: true });
  const server = createServer();
  let attempts = 0;
  server.on('upgrade', (request, socket, head) => {
    attempts += 1;
    const status = statuses.shift();
    if (status !== undefined) socket.end(`HTTP/1.1 ${status} Not Yet\r\nConnection: close\r\n\r\n`);
    else sockets.handleUpgrade(request, socket, head, () => {});
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    for (const client of sockets.clients) client.terminate();
    server.close();
  });
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { url: `ws://127.0.0.1:${address.port}/`, attempts: () => attempts };
}

it('is retried as long as only the proxy in front of the terminal responds', async () => {
  const { url, attempts } = await listen([404, 502, 503, 404]);
  const socket = await connectShell({ url, token: 'token' }, OPTIONS, timeoutSignal());
  expect(socket.readyState).toBe(socket.OPEN);
  expect(attempts()).toBe(5);
});

it('is not retried if the token is rejected', async () => {
  const { url, attempts } = await listen([401]);
  await expect(connectShell({ url, token: 'token' }, OPTIONS, timeoutSignal())).rejects.toMatchObject({
    facts: { status: 401 },
  });
  expect(attempts()).toBe(1);
});
