/** Serves git repositories and tarballs on this machine, for sandboxes that may access it. */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { networkInterfaces, tmpdir } from 'node:os';
import { join } from 'node:path';

/** A non-loopback address of this host, since loopback would be the sandbox itself. Null if there is none. */
export const HOST_ADDRESS: string | null =
  Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? null;

export type Responder = (request: IncomingMessage, response: ServerResponse) => void;

export interface SourceServer {
  /** `http://address:port`. */
  readonly url: string;
  readonly port: number;
  /** The range that an operator must allow so that sandboxes can access it. */
  readonly range: string;
  /**
   * The commits of `/repo.git`, oldest first. `main` has all, `old` the first, which is `v1`, an annotated
   * tag.
   */
  readonly commits: readonly string[];
  /** `METHOD path` of every request, with its `authorization` if it has one. */
  readonly seen: string[];
  /** Serves a path with a handler. */
  on(path: string, responder: Responder): void;
  /** Serves these bytes. */
  serve(path: string, bytes: Buffer): void;
  /** Resolves at the next request of the path. */
  next(path: string): Promise<void>;
  close(): Promise<void>;
}

/** The credentials for `/private.git`. */
export const AUTHORIZATION = `Basic ${Buffer.from('robot:swordfish').toString('base64')}`;

/** Starts the server on a free port; `tls` is a key and its certificate. */
export async function openSourceServer(
  address: string,
  tls: { key: string; cert: string } | null = null,
): Promise<SourceServer> {
  const home = mkdtempSync(join(tmpdir(), 'sources-'));
  const commits = makeRepository(home);
  const responders = new Map<string, Responder>();
  const waiting: { path: string; seen: () => void }[] = [];
  const seen: string[] = [];
  const server = (tls === null ? createServer() : createSecureServer(tls)).on('request', answer);
  function answer(request: IncomingMessage, response: ServerResponse): void {
    const { pathname } = new URL(request.url ?? '/', 'http://host');
    const { authorization: given } = request.headers;
    seen.push(`${request.method} ${pathname}${given === undefined ? '' : ` ${given}`}`);
    for (const { path, seen: resolve } of waiting) if (path === pathname) resolve();
    const responder = responders.get(pathname);
    if (responder !== undefined) responder(request, response);
    else if (pathname.startsWith('/private.git/') && given !== AUTHORIZATION) {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="test"' }).end();
    } else if (/^\/(repo|private)\.git\//.test(pathname)) gitBackend(home, request, response);
    else response.writeHead(404).end('nothing here');
  }
  server.listen(0, address);
  await once(server, 'listening');
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('the server has no port');
  return {
    url: `http${tls === null ? '' : 's'}://${address}:${bound.port}`,
    port: bound.port,
    range: `${address}/32:${bound.port}`,
    commits,
    seen,
    on: (path, responder) => void responders.set(path, responder),
    serve: (path, bytes) => void responders.set(path, (_request, response) => void response.end(bytes)),
    next: (path) => new Promise((resolve) => waiting.push({ path, seen: resolve })),
    async close() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(home, { recursive: true });
    },
  };
}

function makeRepository(home: string): string[] {
  const work = join(home, 'work');
  const env = {
    PATH: process.env['PATH'],
    HOME: home,
    GIT_CONFIG_NOSYSTEM: '1',
    GIT_AUTHOR_NAME: 'test',
    GIT_AUTHOR_EMAIL: 'test@localhost',
    GIT_COMMITTER_NAME: 'test',
    GIT_COMMITTER_EMAIL: 'test@localhost',
  };
  const git = (...args: string[]): string =>
    execFileSync('git', args, { cwd: home, env, encoding: 'utf8' }).trim();
  git('init', '--quiet', '--initial-branch=main', work);
  const commits = ['one', 'two', 'three'].map((text) => {
    writeFileSync(join(work, 'file.txt'), `${text}\n`);
    git('-C', work, 'add', '.');
    git('-C', work, 'commit', '--quiet', '--message', text);
    return git('-C', work, 'rev-parse', 'HEAD');
  });
  git('-C', work, 'tag', '--annotate', '--message', 'first', 'v1', commits[0] ?? '');
  git('-C', work, 'branch', 'old', commits[0] ?? '');
  for (const name of ['repo.git', 'private.git']) git('clone', '--quiet', '--bare', work, join(home, name));
  return commits;
}

/** The smart protocol, through git's CGI program (git-http-backend(1)). */
function gitBackend(home: string, request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://host');
  const header = (name: string): string => String(request.headers[name] ?? '');
  const backend = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env['PATH'],
      GIT_PROJECT_ROOT: home,
      GIT_HTTP_EXPORT_ALL: '1',
      REMOTE_ADDR: 'test',
      PATH_INFO: url.pathname,
      QUERY_STRING: url.search.slice(1),
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: header('content-type'),
      HTTP_CONTENT_ENCODING: header('content-encoding'),
      GIT_PROTOCOL: header('git-protocol'),
      // Otherwise root's repositories are served to root only.
      GIT_CONFIG_COUNT: '1',
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  request.pipe(backend.stdin);
  backend.stdin.on('error', () => backend.kill());
  let head = Buffer.alloc(0);
  const onHead = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end === -1) return;
    backend.stdout.off('data', onHead);
    let status = 200;
    for (const line of head.subarray(0, end).toString('latin1').split('\r\n')) {
      const [name = '', value = ''] = line.split(': ');
      if (name === 'Status') status = Number.parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.writeHead(status);
    response.write(head.subarray(end + 4));
    backend.stdout.pipe(response);
  };
  backend.stdout.on('data', onHead);
}
