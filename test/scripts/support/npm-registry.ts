/** An npm registry on the loopback interface with one package. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';

export interface NpmRegistry {
  readonly url: string;
  close(): Promise<void>;
}

export async function startNpmRegistry(
  { name, version, bin }: { name: string; version: string; bin: Record<string, string> },
  tarball: string,
): Promise<NpmRegistry> {
  const packed = await readFile(tarball);
  const integrity = `sha512-${createHash('sha512').update(packed).digest('base64')}`;
  let url = '';
  const server = createServer((request, response) => {
    if (request.url === '/package.tgz') {
      response.end(packed);
    } else if (request.url === `/${name}`) {
      const dist = { tarball: `${url}package.tgz`, integrity };
      const versions = { [version]: { name, version, bin, dist } };
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ name, 'dist-tags': { latest: version }, versions }));
    } else {
      response.writeHead(404).end();
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  url = `http://127.0.0.1:${typeof bound === 'object' && bound !== null ? bound.port : 0}/`;
  return {
    url,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}
