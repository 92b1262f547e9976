/**
 * A small internet on this machine, reachable only through the gateway: name, web and TLS servers that log
 * requests.
 */
import { execFileSync } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import {
  createServer as createHttp,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http';
import { createServer as createHttps } from 'node:https';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Answer, decode, encode } from 'dns-packet';
import { openTestRange } from './test-range.ts';

export interface World {
  /** In `TEST_RANGE`: treated as public addresses. */
  readonly good: string;
  readonly evil: string;
  /** In 10.0.0.0/8. */
  readonly inner: string;
  readonly innerRange: string;
  /** In 169.254.0.0/16, where clouds have their metadata service. */
  readonly meta: string;
  readonly metaRange: string;
  /** `address:port` of the name server. */
  readonly dns: string;
  /**
   * The log so far, e.g. `http good good.test /`, `tls evil`, `tcp evil:7777`, `dns x.evil.test`, `udp evil`.
   */
  readonly seen: string[];
  close(): Promise<void>;
}

type Place = 'good' | 'evil' | 'inner' | 'meta';
const PLACES: readonly Place[] = ['good', 'evil', 'inner', 'meta'];

const RAW_PORT = 7777;
/** Not one where a program is known to speak first. */
const HTTP_PORT = 7780;
/** Echoes its input to the end. */
const ECHO_PORT = 7778;

/** Needs root: it adds routes to the loopback interface and removes them again. */
export async function openWorld(): Promise<World> {
  const n = randomInt(1, 255);
  // The real metadata address of clouds is not touched.
  const link = n === 169 ? 170 : n;
  const outside = openTestRange();
  const ranges = [`10.99.${n}.0/24`, `169.254.${link}.0/24`];
  const addresses: Record<Place, string> = {
    good: outside.address(1),
    evil: outside.address(2),
    inner: `10.99.${n}.1`,
    meta: `169.254.${link}.254`,
  };
  const seen: string[] = [];
  const servers: Server[] = [];
  const sockets = new Set<Socket>();
  const certificate = selfSigned();
  for (const range of ranges) execFileSync('ip', ['route', 'replace', 'local', range, 'dev', 'lo']);

  const listen = async (server: Server, port: number, address: string) => {
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.once('close', () => sockets.delete(socket));
    });
    server.listen(port, address);
    await once(server, 'listening');
    servers.push(server);
  };
  for (const place of PLACES) {
    const address = addresses[place];
    const answer = (request: IncomingMessage, response: ServerResponse) => {
      seen.push(`http ${place} ${request.headers.host ?? ''} ${request.url ?? ''}`);
      if (request.url === '/redirect') response.writeHead(302, { location: 'http://evil.test/' });
      if (request.url === '/stream') return stream(response, seen);
      let size = 0;
      request.on('data', (chunk: Buffer) => {
        size += chunk.length;
      });
      request.on('end', () => response.end(`${place} ${size}\n`));
    };
    for (const port of [80, 8080, HTTP_PORT])
      await listen(withExtras(createHttp(answer), seen, place), port, address);
    for (const port of [443, 853]) {
      const server = createHttps(certificate, answer);
      server.on('secureConnection', (socket) => seen.push(`tls ${place} ${socket.servername || ''}`));
      await listen(server, port, address);
    }
    const raw = createServer((socket) => {
      seen.push(`tcp ${place}:${RAW_PORT}`);
      socket.write('hello\n');
      socket.on('data', (data) => seen.push(`raw ${place} ${data.toString('latin1').slice(0, 200)}`));
    });
    await listen(raw, RAW_PORT, address);
    await listen(
      createServer({ allowHalfOpen: true }, (socket) => socket.pipe(socket)),
      ECHO_PORT,
      address,
    );
  }
  const dns = createSocket('udp4');
  dns.on('message', (message, from) => {
    const packet = decode(message);
    const name = packet.questions?.[0]?.name ?? '';
    seen.push(`dns ${name}`);
    const data = addressOf(name, addresses, seen);
    const answers: Answer[] = data === null ? [] : [{ type: 'A', name, ttl: 1, data }];
    const flags = 0x0180 | (data === null ? 3 : 0);
    dns.send(
      encode({ type: 'response', id: packet.id ?? 0, flags, questions: packet.questions ?? [], answers }),
      from.port,
      from.address,
    );
  });
  dns.bind(5353, addresses.good);
  await once(dns, 'listening');
  const udp = createSocket('udp4');
  udp.on('message', () => seen.push('udp evil'));
  udp.bind(4443, addresses.evil);
  await once(udp, 'listening');
  return {
    ...addresses,
    innerRange: ranges[0] ?? '',
    metaRange: ranges[1] ?? '',
    dns: `${addresses.good}:5353`,
    seen,
    async close() {
      for (const socket of sockets) socket.destroy();
      await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))));
      await Promise.all([dns, udp].map((socket) => new Promise<void>((resolve) => socket.close(resolve))));
      outside.close();
      for (const range of ranges) execFileSync('ip', ['route', 'del', 'local', range, 'dev', 'lo']);
    },
  };
}

/** `rebind.test` resolves to a public address first, and to a private one from then on. */
function addressOf(name: string, addresses: Record<Place, string>, seen: readonly string[]): string | null {
  const queries = seen.filter((line) => line === `dns ${name}`).length;
  if (name.startsWith('rebind')) return queries > 1 ? addresses.inner : addresses.good;
  const place = PLACES.find((each) => name === `${each}.test` || name.endsWith(`.${each}.test`));
  if (place !== undefined) return addresses[place];
  if (name === 'zero.test') return '0.0.0.0';
  return name === 'loop.test' ? '127.0.0.1' : null;
}

/** A CONNECT proxy, and WebSockets that send a greeting. */
function withExtras(server: HttpServer, seen: string[], place: Place): HttpServer {
  server.on('connect', (request, client) => {
    const [host = '', port] = (request.url ?? '').split(':');
    seen.push(`connect ${place} ${host}`);
    const target = connect(Number(port), host, () => client.write('HTTP/1.1 200 OK\r\n\r\n'));
    target.on('error', () => client.destroy());
    client.on('error', () => target.destroy());
    client.pipe(target).pipe(client);
  });
  server.on('upgrade', (request, socket) => {
    seen.push(`upgrade ${place} ${request.headers.host}`);
    socket.on('error', () => socket.destroy());
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nwelcome\n',
    );
  });
  return server;
}

/** Two events; the second is sent once the program has confirmed the first. */
function stream(response: ServerResponse, seen: readonly string[]): void {
  const gotOne = () => seen.filter((line) => line.endsWith(' /got-one')).length;
  const before = gotOne();
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.write('data: one\n\n');
  const poll = setInterval(() => {
    if (gotOne() === before) return;
    clearInterval(poll);
    response.end('data: two\n\n');
  }, 10);
  response.on('close', () => clearInterval(poll));
}

function selfSigned(): { key: string; cert: string } {
  const dir = mkdtempSync(join(tmpdir(), 'cert-'));
  try {
    const [key, cert] = [join(dir, 'key.pem'), join(dir, 'cert.pem')];
    const subject = ['-subj', '/CN=good.test', '-addext', 'subjectAltName=DNS:*.test'];
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
    execFileSync(
      'openssl',
      ['req', '-x509', '-nodes', '-days', '2', ...curve, '-keyout', key, '-out', cert, ...subject],
      {
        stdio: 'ignore',
      },
    );
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  } finally {
    rmSync(dir, { recursive: true });
  }
}
