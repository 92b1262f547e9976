/** The responses of the servers of a `RuledWorld`, over HTTP/1 and HTTP/2. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

export interface SeenRequest {
  readonly protocol: 'http/1.1' | 'h2' | 'upgrade';
  readonly method: string;
  readonly host: string;
  readonly path: string;
  /** Lower-case names; two of the same name are joined by a comma. */
  readonly headers: Readonly<Record<string, string>>;
  /** All names as received, to detect duplicates. */
  readonly names: readonly string[];
}

/** The last request for a path; throws if there was none. */
export function noted(seen: readonly SeenRequest[], path: string): SeenRequest {
  const found = seen.findLast((request) => request.path === path);
  if (found === undefined) throw new Error(`no request for ${path}`);
  return found;
}

function textHeaders(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]));
}

function noteMessage(seen: SeenRequest[], protocol: SeenRequest['protocol'], request: IncomingMessage): void {
  seen.push({
    protocol,
    method: request.method ?? '',
    host: request.headers.host ?? '',
    path: request.url ?? '',
    headers: textHeaders(request.headers),
    names: request.rawHeaders.filter((_, index) => index % 2 === 0).map((name) => name.toLowerCase()),
  });
}

/** What `git ls-remote` requests from a repository with one commit. */
function refs(): string {
  const line = `${'a'.repeat(40)} HEAD\0 \n`;
  const packet = (text: string) => (text.length + 4).toString(16).padStart(4, '0') + text;
  return `${packet('# service=git-upload-pack\n')}0000${packet(line)}0000`;
}

/** The response to `/bytes/N` and `/last/N`. */
function bytesFor(path: string): Buffer | null {
  const count = /^\/(?:bytes|last)\/(\d+)$/.exec(path)?.[1];
  return count === undefined ? null : Buffer.alloc(Number(count), 'x');
}

/** HTTP/1. */
export function serveRequest(
  seen: SeenRequest[],
  aborted: string[],
  request: IncomingMessage,
  response: ServerResponse,
): void {
  noteMessage(seen, 'http/1.1', request);
  const path = request.url ?? '';
  response.on('close', () => {
    if (!response.writableFinished) aborted.push(path);
  });
  if (path.startsWith('/repo.git/info/refs')) {
    response.setHeader('content-type', 'application/x-git-upload-pack-advertisement');
    response.end(refs());
    return;
  }
  if (path === '/events') {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('data: one\n\n');
    // The second event is sent once the program has confirmed the first.
    const poll = setInterval(() => {
      if (!seen.some((each) => each.path === '/got-one')) return;
      clearInterval(poll);
      response.end('data: two\n\n');
    }, 10);
    response.on('close', () => clearInterval(poll));
    return;
  }
  if (path.startsWith('/hang')) return;
  const bytes = bytesFor(path);
  if (bytes !== null) {
    response.end(bytes);
    return;
  }
  if (path === '/long-head') response.setHeader('x-long', 'y'.repeat(40_000));
  let size = 0;
  request.on('data', (chunk: Buffer) => {
    size += chunk.length;
  });
  request.on('end', () => {
    if (path === '/trailers') response.setHeader('trailer', 'x-end');
    response.write(`size ${size}\n`);
    if (path === '/trailers') response.addTrailers({ 'x-end': `got ${request.trailers['x-sum'] ?? 'none'}` });
    response.end();
  });
}

/** HTTP/2. `/chat` answers each piece as it arrives, as gRPC streams do, and ends with trailers. */
export function answerStream(
  seen: SeenRequest[],
  aborted: string[],
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
): void {
  const path = headers[':path'] ?? '';
  seen.push({
    protocol: 'h2',
    method: headers[':method'] ?? '',
    host: headers[':authority'] ?? '',
    path,
    headers: textHeaders(headers),
    names: Object.keys(headers),
  });
  stream.on('error', () => stream.destroy());
  if (path.startsWith('/hang')) {
    stream.once('close', () => aborted.push(path));
    return;
  }
  if (path.startsWith('/repo.git/info/refs')) {
    stream.respond({ ':status': 200, 'content-type': 'application/x-git-upload-pack-advertisement' });
    stream.end(refs());
    return;
  }
  if (path === '/window') {
    // How much may be sent before any is read.
    const { remoteSettings, state } = stream.session ?? {};
    stream.respond({ ':status': 200 });
    stream.end(JSON.stringify([remoteSettings?.initialWindowSize, state?.remoteWindowSize]));
    return;
  }
  if (path === '/reset') {
    stream.close(0xb);
    return;
  }
  if (path === '/only-headers') {
    stream.respond({ ':status': 200, 'grpc-status': '5' }, { endStream: true });
    return;
  }
  if (path.startsWith('/half')) {
    stream.respond({ ':status': 200 });
    stream.write('half');
    return;
  }
  const bytes = bytesFor(path);
  if (bytes !== null) {
    stream.respond({ ':status': 200 });
    stream.end(bytes);
    return;
  }
  stream.respond({ ':status': 200, 'content-type': 'application/grpc' }, { waitForTrailers: true });
  let sum = 'none';
  let size = 0;
  stream.on('trailers', (trailers) => {
    sum = String(trailers['x-sum']);
  });
  stream.on('wantTrailers', () => stream.sendTrailers({ 'grpc-status': '0', 'x-sum': sum }));
  stream.on('data', (chunk: Buffer) => {
    size += chunk.length;
    if (path === '/chat') stream.write(`heard ${chunk.toString()}`);
  });
  stream.on('end', () => stream.end(`size ${size}\n`));
}

/** Closes the connection of an HTTP/2 stream after a complete or partial answer, as servers do. */
export function endConnection(stream: ServerHttp2Stream, path: string, socket: Socket): void {
  const { session } = stream;
  // Without a GOAWAY.
  if (path === '/gone') stream.once('close', () => socket.end());
  // An orderly close.
  if (path.startsWith('/last')) stream.once('close', () => session?.close());
  if (path === '/half') stream.write('', () => socket.end());
}

/** A WebSocket that sends a greeting and echoes messages. `/refused` is not a WebSocket. */
export function serveUpgrade(seen: SeenRequest[], request: IncomingMessage, socket: Duplex): void {
  noteMessage(seen, 'upgrade', request);
  socket.on('error', () => socket.destroy());
  if (request.url === '/refused') {
    socket.end('HTTP/1.1 401 Unauthorized\r\nContent-Length: 8\r\nX-Why: token\r\n\r\nno token');
    return;
  }
  socket.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nwelcome\n',
  );
  socket.on('data', (data: Buffer) => socket.write(`back ${data.toString()}`));
}
