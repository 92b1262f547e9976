/** A company proxy through which alone a registry is reached, at a name that nobody else knows. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';
import { TLSSocket } from 'node:tls';
import { promisify } from 'node:util';

const NAME = 'registry.example';

export interface CompanyProxy {
  /** The name of the registry behind it. */
  readonly registry: string;
  /** What a client needs in its environment. */
  readonly env: { HTTPS_PROXY: string; NODE_EXTRA_CA_CERTS: string };
  /** What tunnels were asked for. */
  readonly requested: string[];
  close(): Promise<void>;
}

/** @param target host and port of the registry, which speaks plain HTTP; TLS ends here */
export async function startCompanyProxy(target: string, folder: string): Promise<CompanyProxy> {
  const [keyFile, certFile] = [join(folder, 'proxy-key.pem'), join(folder, 'proxy-cert.pem')];
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'];
  const names = ['-subj', `/CN=${NAME}`, '-addext', `subjectAltName=DNS:${NAME}`, '-days', '2'];
  await promisify(execFile)('openssl', [...request, ...names, '-keyout', keyFile, '-out', certFile]);
  const [key, cert] = await Promise.all([readFile(keyFile), readFile(certFile)]);
  const requested: string[] = [];
  const sockets = new Set<Duplex>();
  const server = createServer((_, response) => response.writeHead(405).end());
  server.on('connect', ({ url = '' }, client: Duplex) => {
    requested.push(url);
    sockets.add(client);
    client.write('HTTP/1.1 200 Connection established\r\n\r\n');
    const { hostname, port } = new URL(`http://${target}`);
    const upstream = connect(Number(port), hostname);
    const ended = new TLSSocket(client, { isServer: true, key, cert });
    ended.pipe(upstream).pipe(ended);
    for (const socket of [client, ended, upstream]) {
      socket.on('error', () => client.destroy());
      socket.on('close', () => upstream.destroy());
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  return {
    registry: NAME,
    env: { HTTPS_PROXY: `http://127.0.0.1:${port}`, NODE_EXTRA_CA_CERTS: certFile },
    requested,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
