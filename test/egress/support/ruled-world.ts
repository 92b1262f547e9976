/**
 * Servers for header rules: they record each request with its headers, and have certificates from a CA of the
 * test.
 */
import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttp } from 'node:http';
import { performServerHandshake } from 'node:http2';
import type { Server, Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSecureContext, createServer } from 'node:tls';
import { decode, encode } from 'dns-packet';
import { createAuthority, type StoredAuthority } from '../../../src/egress/tls/certificate-authority.ts';
import { issueCertificate } from '../../../src/egress/tls/x509.ts';
import { serveFrames } from './frame-server.ts';
import {
  answerStream,
  endConnection,
  noted,
  type SeenRequest,
  serveRequest,
  serveUpgrade,
} from './ruled-servers.ts';
import { openTestRange } from './test-range.ts';

export interface Heard {
  text: string;
  readonly socket: Socket;
}

export interface RuledWorld {
  /** The address of `api.test`, `*.api.test` and `other.test`, on ports 80 and 443. */
  readonly address: string;
  /** The address of `self.test`, which has a self-signed certificate. */
  readonly selfSigned: string;
  /** The address of `wrong.test`, which has a certificate for another name. */
  readonly wrongName: string;
  readonly dns: string;
  /** Path of the CA certificate. */
  readonly authorities: string;
  readonly seen: SeenRequest[];
  /** The bytes received on each HTTP/1 connection. */
  readonly heard: Heard[];
  /** Requests whose connection was closed before they were answered. */
  readonly aborted: string[];
  close(): Promise<void>;
}

/** Needs root: it adds a route to the loopback interface and removes it again. */
export async function openRuledWorld(): Promise<RuledWorld> {
  const outside = openTestRange();
  const [address, selfSigned, wrongName] = [outside.address(1), outside.address(2), outside.address(3)];
  const folder = mkdtempSync(join(tmpdir(), 'ruled-'));
  const [authority, stranger] = [await createAuthority(), await createAuthority()];
  const authorities = join(folder, 'ca.pem');
  writeFileSync(authorities, authority.certificate);
  const seen: SeenRequest[] = [];
  const heard: Heard[] = [];
  const aborted: string[] = [];
  const closers: (() => Promise<unknown>)[] = [];

  const listen = async (server: Server, at: string, port: number) => {
    const sockets = new Set<Socket>();
    server.on('connection', (socket) => {
      sockets.add(socket);
      socket.on('error', () => socket.destroy());
      socket.once('close', () => sockets.delete(socket));
    });
    server.listen(port, at);
    await once(server, 'listening');
    closers.push(() => {
      for (const socket of sockets) socket.destroy();
      return new Promise((resolve) => server.close(resolve));
    });
  };
  const places: [string, StoredAuthority, string[]][] = [
    [address, authority, ['api.test', '*.api.test', 'other.test']],
    [selfSigned, stranger, ['self.test']],
    [wrongName, authority, ['another.test']],
  ];
  const plain = createHttp({ maxHeaderSize: 100_000 }, (request, response) =>
    serveRequest(seen, aborted, request, response),
  );
  plain.on('upgrade', (request, socket) => serveUpgrade(seen, request, socket));
  for (const [at, issuer, names] of places) {
    const contexts = new Map(names.map((name) => [name, createSecureContext(certify(issuer, name))]));
    for (const [port, protocols] of [
      [443, ['h2', 'http/1.1']],
      [8443, ['http/1.1']],
    ] as const) {
      const server = createServer({
        ALPNProtocols: [...protocols],
        SNICallback: (name, answer) =>
          answer(null, contexts.get(name) ?? contexts.get(`*.${names[0]}`) ?? contexts.get(names[0] ?? '')),
      });
      server.on('secureConnection', (socket) => {
        socket.on('error', () => socket.destroy());
        if (socket.alpnProtocol !== 'h2') {
          plain.emit('connection', socket);
          hear(heard, socket);
          return;
        }
        if (serveFrames(seen, socket)) return;
        const session = performServerHandshake(socket);
        session.on('error', () => session.destroy());
        session.on('stream', (stream, headers) => {
          answerStream(seen, aborted, stream, headers);
          endConnection(stream, headers[':path'] ?? '', socket);
        });
      });
      await listen(server, at, port);
    }
  }
  plain.on('connection', (socket) => {
    if (socket.localPort === 80) hear(heard, socket);
  });
  await listen(plain, address, 80);

  const dns = createSocket('udp4');
  dns.on('message', (message, from) => {
    const packet = decode(message);
    const name = packet.questions?.[0]?.name ?? '';
    const data = name === 'self.test' ? selfSigned : name === 'wrong.test' ? wrongName : address;
    const known = /(^|\.)(api|other|self|wrong)\.test$/.test(name);
    const answer = encode({
      type: 'response',
      id: packet.id ?? 0,
      flags: 0x0180 | (known ? 0 : 3),
      questions: packet.questions ?? [],
      answers: known ? [{ type: 'A', name, ttl: 60, data }] : [],
    });
    dns.send(answer, from.port, from.address);
  });
  dns.bind(5353, address);
  await once(dns, 'listening');
  closers.push(() => new Promise<void>((resolve) => dns.close(() => resolve())));
  return {
    address,
    selfSigned,
    wrongName,
    dns: `${address}:5353`,
    authorities,
    seen,
    heard,
    aborted,
    async close() {
      await Promise.all(closers.map((close) => close()));
      outside.close();
      rmSync(folder, { recursive: true });
    },
  };
}

/** In addition to the server that the connection was passed to, which then reads it by events too. */
function hear(heard: Heard[], socket: Socket): void {
  const connection = { text: '', socket };
  heard.push(connection);
  socket.on('data', (bytes: Buffer) => {
    connection.text += bytes.toString('latin1');
  });
}

function certify(issuer: StoredAuthority, host: string): { key: string; cert: string } {
  const privateKey = createPrivateKey(issuer.key);
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const cert = issueCertificate({
    subject: host,
    publicKey: keys.publicKey,
    issuer: 'sandbox-mcp gateway authority',
    issuerKey: { privateKey, publicKey: createPublicKey(privateKey) },
    notBefore: new Date(Date.now() - 86_400_000),
    notAfter: new Date(Date.now() + 86_400_000),
    host,
  });
  return { key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), cert };
}

export { noted };
