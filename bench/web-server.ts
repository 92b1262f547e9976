/**
 * A web server on an address of this machine, in a separate process, and a DNS server that resolves
 * `bench.test` to it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { networkInterfaces } from 'node:os';
import { decode, encode } from 'dns-packet';

/** Answers `/N` with N bytes; on the second port each connection is greeted and then left alone. */
const SERVER = `
const chunk = Buffer.alloc(262144);
const web = require('node:http').createServer((request, response) => {
  let left = Number(request.url.slice(1)) || 0;
  response.writeHead(200, { 'content-length': left });
  const go = () => {
    while (left > 0) {
      const piece = left < chunk.length ? chunk.subarray(0, left) : chunk;
      left -= piece.length;
      if (!response.write(piece)) return response.once('drain', go);
    }
    response.end();
  };
  go();
});
const greeter = require('node:net').createServer((socket) => {
  socket.on('error', () => socket.destroy());
  socket.write('x');
});
const listen = (server) => new Promise((resolve) => server.listen({ port: 0, host: process.argv[1], backlog: 1024 }, () => resolve(server.address().port)));
Promise.all([listen(web), listen(greeter)]).then((ports) => console.log(JSON.stringify(ports)));
process.stdin.on('end', () => process.exit()).resume();
`;

export const NAME = 'bench.test';

export interface WebServer {
  readonly address: string;
  readonly webPort: number;
  readonly greeterPort: number;
  /** Flags that let sandboxes reach the web server. */
  readonly flags: string[];
  close(): Promise<void>;
}

/** @throws if this machine has no address but loopback */
export async function openWebServer(): Promise<WebServer> {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  const address = addresses.find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
  if (address === undefined) throw new Error('this machine has no IPv4 address except loopback');
  const child = spawn(process.execPath, ['-e', SERVER, address], { stdio: ['pipe', 'pipe', 'inherit'] });
  const [line] = await once(child.stdout, 'data');
  const [webPort, greeterPort]: number[] = JSON.parse(String(line));
  if (webPort === undefined || greeterPort === undefined) throw new Error('the web server has no port');
  const dns = createSocket('udp4');
  dns.on('message', (message, from) => {
    const { id = 0, questions = [] } = decode(message);
    const answers = questions.map(({ name }) => ({ type: 'A' as const, name, ttl: 60, data: address }));
    dns.send(encode({ type: 'response', id, flags: 0x0180, questions, answers }), from.port, from.address);
  });
  dns.bind(0, '127.0.0.1');
  await once(dns, 'listening');
  const opened = [webPort, greeterPort].flatMap((port) => ['--egress-allow', `${address}/32:${port}`]);
  return {
    address,
    webPort,
    greeterPort,
    flags: [...opened, '--egress-dns', `127.0.0.1:${dns.address().port}`],
    async close() {
      await new Promise<void>((resolve) => dns.close(resolve));
      await ended(child);
    },
  };
}

async function ended(child: ChildProcess): Promise<void> {
  const exit = once(child, 'exit');
  child.stdin?.end();
  await exit;
}
