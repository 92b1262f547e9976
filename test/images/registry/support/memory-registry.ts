/**
 * A registry in memory, whose answers a test can change. It speaks the OCI distribution protocol, ranges
 * included.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type Entry, sha256 } from '../../../support/archives.ts';

export interface MemoryRegistry {
  /** `127.0.0.1:PORT`. */
  readonly host: string;
  /** `METHOD path [range]` of each request, in order. */
  readonly requests: string[];
  /** `Authorization` of each request. */
  readonly authorizations: (string | undefined)[];
  /** Changes what is stored, by digest or tag. */
  readonly stored: Map<string, Buffer>;
  /** Returns true if it has sent the answer itself. */
  intercept: (request: IncomingMessage, response: ServerResponse) => boolean;
  close(): Promise<void>;
}

const TYPES = /^application\/vnd\.(oci|docker)\./;

function mediaTypeOf(bytes: Buffer): string {
  const document: unknown = JSON.parse(bytes.toString('utf8'));
  const isObject = typeof document === 'object' && document !== null;
  const given = isObject && 'mediaType' in document ? String(document.mediaType) : '';
  if (TYPES.test(given)) return given;
  const kind = isObject && 'manifests' in document ? 'index' : 'manifest';
  return `application/vnd.oci.image.${kind}.v1+json`;
}

function answerBlob(bytes: Buffer, request: IncomingMessage, response: ServerResponse): void {
  const from = /^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1];
  if (from === undefined) {
    response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
    return;
  }
  const part = bytes.subarray(Number(from));
  const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
  response.writeHead(206, { 'content-length': part.length, 'content-range': range }).end(part);
}

/** Serves an OCI image layout; its index has the tag `latest`. */
export async function startMemoryRegistry(layout: readonly Entry[]): Promise<MemoryRegistry> {
  const stored = new Map<string, Buffer>();
  for (const { path, content } of layout) {
    const bytes = Buffer.from(content ?? '');
    if (path === 'index.json') {
      stored.set('latest', bytes);
      stored.set(`sha256:${sha256(bytes)}`, bytes);
    } else if (path.startsWith('blobs/sha256/'))
      stored.set(`sha256:${path.slice('blobs/sha256/'.length)}`, bytes);
  }
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    registry.requests.push([request.method, path, request.headers.range].filter(Boolean).join(' '));
    registry.authorizations.push(request.headers.authorization);
    if (registry.intercept(request, response)) return;
    const [, kind, name = ''] = /\/(manifests|blobs)\/([^/]+)$/.exec(path) ?? [];
    const bytes = stored.get(name);
    if (bytes === undefined) response.writeHead(404).end('{}');
    else if (kind === 'blobs') answerBlob(bytes, request, response);
    else response.writeHead(200, { 'content-type': mediaTypeOf(bytes) }).end(bytes);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const bound = server.address();
  const port = typeof bound === 'object' && bound !== null ? bound.port : 0;
  const registry: MemoryRegistry = {
    host: `127.0.0.1:${port}`,
    requests: [],
    authorizations: [],
    stored,
    intercept: () => false,
    async close() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return registry;
}
