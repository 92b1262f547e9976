/** A local npm registry whose responses the test controls. */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { type Entry, tarOf } from '../../support/archives.ts';

export interface FakeRegistry {
  readonly address: string;
  /** Requested paths, in order. */
  readonly requested: string[];
  /** Called before each response; returns true if it has responded itself. */
  intercept: (path: string, response: ServerResponse) => boolean | Promise<boolean>;
  /** Corrupts the digests that the registry returns. */
  lies: boolean;
  close(): Promise<void>;
}

const NODE = `node-linux-${process.arch}`;

function pack(entries: Entry[]): Buffer {
  return gzipSync(tarOf(entries.map((entry) => ({ ...entry, path: `package/${entry.path}` }))));
}

/** A shell script replaces Node: it prints its version and does little else. */
function nodePackage(version: string): Buffer {
  const script = `#!/bin/sh\nif [ "$1" = -v ]; then echo v${version}; else echo "node ran $*"; fi\n`;
  return pack([
    { path: 'bin/node', mode: 0o755, content: script },
    { path: 'include/node.h', content: 'left out' },
  ]);
}

function npmPackage(version: string): Buffer {
  const script = `#!/usr/bin/env node\n// ${version}\n`;
  return pack([
    { path: 'package.json', content: JSON.stringify({ name: 'npm', version }) },
    { path: 'bin/npm-cli.js', content: script },
    { path: 'bin/npx-cli.js', content: script },
  ]);
}

/** Has Node 22.1.0, 22.11.0 and 24.0.0, and npm 10 and 11, of which 11 requires Node 24. */
export async function startFakeRegistry(): Promise<FakeRegistry> {
  const archives = new Map<string, Buffer>();
  const listings = new Map<string, Map<string, { node?: string }>>();
  const add = (name: string, version: string, archive: Buffer, engines = {}) => {
    archives.set(`/${name}/-/${version}.tgz`, archive);
    listings.set(name, (listings.get(name) ?? new Map()).set(version, engines));
  };
  for (const version of ['22.1.0', '22.11.0', '24.0.0']) add(NODE, version, nodePackage(version));
  add(NODE, '22.99.0-rc.1', nodePackage('22.99.0'));
  add('npm', '10.9.0', npmPackage('10.9.0'), { node: '>=18' });
  add('npm', '11.0.0', npmPackage('11.0.0'), { node: '>=24' });

  const server = createServer(async (request, response) => {
    const path = request.url ?? '';
    registry.requested.push(path);
    if (await registry.intercept(path, response)) return;
    const listing = listings.get(path.slice(1));
    if (listing !== undefined) {
      const versions = [...listing].map(([version, engines]) => {
        const tarball = `/${path.slice(1)}/-/${version}.tgz`;
        const hashed = registry.lies ? Buffer.from('another') : (archives.get(tarball) ?? Buffer.alloc(0));
        const integrity = `sha512-${createHash('sha512').update(hashed).digest('base64')}`;
        return [version, { engines, dist: { tarball: `${registry.address}${tarball.slice(1)}`, integrity } }];
      });
      response.end(JSON.stringify({ versions: Object.fromEntries(versions) }));
      return;
    }
    const archive = archives.get(path);
    response.statusCode = archive === undefined ? 404 : 200;
    response.end(archive ?? 'not found');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  const registry: FakeRegistry = {
    address: `http://127.0.0.1:${port}/`,
    requested: [],
    intercept: () => false,
    lies: false,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return registry;
}
