/** The bridge supergateway, between the SDK's client over HTTP and a server over the standard streams. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect as connectSocket, createServer } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { connect as connectSdk } from './sdk.mjs';

const bridge = fileURLToPath(new URL('../node_modules/supergateway/dist/index.js', import.meta.url));

export async function connect({ command, args }) {
  const port = await freePort();
  const options = ['--outputTransport', 'streamableHttp', '--stateful', '--port', String(port)];
  const line = [command, ...args].join(' ');
  const gateway = spawn(process.execPath, [bridge, '--stdio', line, ...options], { stdio: 'ignore' });
  const exited = once(gateway, 'exit');
  while (!(await accepts(port))) {
    if (gateway.exitCode !== null) throw new Error(`supergateway has exited with ${gateway.exitCode}`);
    await delay(100);
  }
  const client = await connectSdk({ url: `http://127.0.0.1:${port}/mcp`, headers: {} });
  const close = async () => {
    await client.close();
    gateway.kill();
    await exited;
  };
  return { ...client, close };
}

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

async function accepts(port) {
  const socket = connectSocket(port, '127.0.0.1');
  const outcome = await once(socket, 'connect').then(
    () => true,
    () => false,
  );
  socket.destroy();
  return outcome;
}
