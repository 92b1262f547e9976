/** The configurations in docs/deploy.md, as they are there except for addresses and certificates. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import { connect as connectHttp2 } from 'node:http2';
import { connect as connectSocket, createServer as createListener } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { WebSocket, WebSocketServer } from 'ws';
import { z } from 'zod';
import { TOOLS } from '../../../tools/index.ts';
import { needs } from '../../support/needs.ts';
import { certificateFor } from '../support/certificate.ts';
import { deferred, textOf, toolOf } from '../support/connected-server.ts';
import { connect, startHttp } from './support/http-server.ts';

const GUIDE = readFileSync(join(import.meta.dirname, '../../../docs/deploy.md'), 'utf8');
const UPSTREAM = '127.0.0.1:8931';

function blockOf(language: string): string {
  const [, block] = new RegExp(`\`\`\`${language}\n(.*?)\`\`\``, 's').exec(GUIDE) ?? [];
  if (block === undefined) throw new Error(`docs/deploy.md has no block ${language}`);
  return block;
}

function has(program: string): boolean {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0;
}

async function freePort(): Promise<number> {
  const listener = createListener().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  listener.close();
  await once(listener, 'close');
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}

/** `ports` are for HTTP and for HTTPS. */
type Proxy = (
  folder: string,
  ports: readonly [number, number],
  upstream: string,
) => { command: string; args: string[] };

const nginx: Proxy = (folder, [port, securePort], upstream) => {
  const { key, cert } = certificateFor('preview.example');
  writeFileSync(join(folder, 'sandbox.example.key'), key);
  writeFileSync(join(folder, 'sandbox.example.pem'), cert);
  const server = blockOf('nginx')
    .replace('listen 443 ssl http2;', `listen 127.0.0.1:${port}; listen 127.0.0.1:${securePort} ssl http2;`)
    .replaceAll('/etc/ssl', folder)
    .replace(UPSTREAM, upstream);
  const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'];
  const temporary = paths.map((name) => `${name}_temp_path ${folder}/${name};`).join('\n');
  const whole = `daemon off; pid ${folder}/pid; error_log stderr; events {}
    http { access_log off; ${temporary}\n${server} }`;
  writeFileSync(join(folder, 'nginx.conf'), whole);
  return { command: 'nginx', args: ['-p', folder, '-c', join(folder, 'nginx.conf')] };
};

const caddy: Proxy = (folder, [port], upstream) => {
  const sites = blockOf('caddy')
    .replace(
      'sandbox.example, *.preview.example',
      `http://localhost:${port}, http://*.preview.example:${port}`,
    )
    .replace(UPSTREAM, upstream);
  writeFileSync(join(folder, 'Caddyfile'), `{\n    admin off\n    grace_period 1s\n}\n${sites}`);
  return { command: 'caddy', args: ['run', '--config', join(folder, 'Caddyfile'), '--adapter', 'caddyfile'] };
};

/** Starts the proxy in front of the server. */
async function startProxy(proxy: Proxy, upstream: string): Promise<{ url: string; secureUrl: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'deploy-'));
  const [port, securePort] = [await freePort(), await freePort()];
  const { command, args } = proxy(folder, [port, securePort], upstream);
  const env = { PATH: process.env['PATH'] ?? '', HOME: folder };
  const child = spawn(command, args, { env, stdio: ['ignore', 'ignore', 'pipe'] });
  let logged = '';
  child.stderr.on('data', (chunk: Buffer) => (logged += chunk.toString()));
  const exited = once(child, 'exit');
  onTestFinished(async () => {
    child.kill('SIGTERM');
    await exited;
    rmSync(folder, { recursive: true, force: true });
  });
  await expect
    .poll(
      async () => {
        if (child.exitCode !== null) throw new Error(`${command} exited:\n${logged}`);
        const socket = connectSocket(port, '127.0.0.1');
        return Promise.race([
          once(socket, 'connect').then(() => true),
          once(socket, 'error').then(() => false),
        ]).finally(() => socket.destroy());
      },
      { timeout: 30_000 },
    )
    .toBe(true);
  return { url: `http://localhost:${port}`, secureUrl: `https://127.0.0.1:${securePort}` };
}

/** A web application with an echoing WebSocket, as the engine in memory forwards it. */
async function startApplication(): Promise<number> {
  const server = createServer(({ headers }, response) => {
    const visitor = `${headers['x-forwarded-for']} by ${headers['x-forwarded-proto']}`;
    response.end(`from ${headers.host} for ${visitor}`);
  });
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(`echo ${String(data)}`)));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    for (const socket of sockets.clients) socket.terminate();
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const address = server.address();
  return typeof address === 'object' ? (address?.port ?? 0) : 0;
}

/** What a browser gets, which speaks HTTP/2 with whoever offers it. */
async function getByHttp2(url: string, host: string): Promise<string> {
  const session = connectHttp2(url, { rejectUnauthorized: false });
  onTestFinished(() => session.destroy());
  const request = session.request({ ':path': '/', ':authority': host });
  return text(request);
}

describe.each([
  ['nginx', nginx],
  ['caddy', caddy],
] as const)('behind %s', (program, proxy) => {
  it('calls, streams, large messages and previews arrive', needs(program, has(program)), async () => {
    const go = deferred<null>();
    const slow = toolOf('slow', async (_args, { progress }) => {
      progress('at work');
      await go.promise;
      return 'done';
    });
    const count = toolOf('count', async ({ text }) => text?.length);
    const flags = {
      'public-url': 'http://sandbox.example',
      'preview-host': 'preview.example',
      'trusted-proxy': '127.0.0.1',
    };
    const server = await startHttp({ tools: [...TOOLS, slow, count], flags });
    const { url, secureUrl } = await startProxy(proxy, new URL(server.url).host);
    const { client } = await connect({ ...server, url });

    // The progress arrives before the answer exists, so nothing is buffered.
    const progressed = deferred<string | undefined>();
    const called = client.callTool({ name: 'slow', arguments: {} }, undefined, {
      onprogress: ({ message }) => progressed.resolve(message),
    });
    expect(await progressed.promise).toBe('at work');
    go.resolve(null);
    expect(textOf(await called)).toContain('done');
    const large = { name: 'count', arguments: { text: 'x'.repeat(20_000_000) } };
    expect(textOf(await client.callTool(large))).toContain('20000000');

    const port = await startApplication();
    await client.callTool({ name: 'sandbox_create', arguments: { ports: [port] } });
    const domain = await client.callTool({ name: 'sandbox_domain', arguments: { port } });
    const { url: preview } = z.object({ url: z.url() }).parse(domain.structuredContent);
    const { hostname: host } = new URL(preview);
    expect(host).toMatch(/\.preview\.example$/);
    const answered = await new Promise<string>((resolve, reject) => {
      const options = { headers: { host }, agent: false };
      httpRequest(url.replace('localhost', '127.0.0.1'), options, (response) => {
        let text = '';
        response.on('data', (chunk: Buffer) => (text += chunk.toString()));
        response.on('end', () => resolve(text));
      })
        .on('error', reject)
        .end();
    });
    expect(answered).toBe(`from ${host} for 127.0.0.1, 127.0.0.1 by http`);
    // Caddy does so too, but gets certificates for public names alone.
    if (program === 'nginx')
      expect(await getByHttp2(secureUrl, host)).toBe(`from ${host} for 127.0.0.1, 127.0.0.1 by https`);
    const socket = new WebSocket(url.replace('http', 'ws').replace('localhost', '127.0.0.1'), {
      headers: { host },
    });
    await once(socket, 'open');
    socket.send('x');
    expect(String((await once(socket, 'message'))[0])).toBe('echo x');
    socket.terminate();

    // What a proxy passes on comes from elsewhere.
    expect((await fetch(`${url}/metrics`)).status).toBe(403);
    expect((await fetch(`${url}/healthz`)).status).toBe(200);
  });
});

describe('the systemd unit', () => {
  it('is valid', needs('systemd-analyze', has('systemd-analyze')), () => {
    const folder = mkdtempSync(join(tmpdir(), 'deploy-'));
    onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
    const unit = join(folder, 'sandbox-mcp.service');
    writeFileSync(unit, blockOf('ini').replace('/usr/bin/sandbox-mcp', process.execPath));
    const { status, stderr } = spawnSync('systemd-analyze', ['verify', '--man=no', unit], {
      encoding: 'utf8',
    });
    expect(stderr.split('\n').filter((line) => line.includes('sandbox-mcp.service'))).toEqual([]);
    expect(status).toBe(0);
  });
});
