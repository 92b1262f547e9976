import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, request as httpRequest } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { z } from 'zod';
import type { GitRepositories } from '../../../src/engines/engine.ts';
import type { SandboxOwner } from '../../../src/registry/types.ts';
import { listenForGit } from '../../../src/server/http/git/git-listener.ts';
import { GitRequests } from '../../../src/server/http/git/git-requests.ts';
import { RepositoryNames } from '../../../src/server/http/git/repository-names.ts';
import { SandboxError } from '../../../src/shared/errors.ts';
import { createLogger } from '../../../src/shared/log.ts';
import { openWorld } from '../../registry/support/registry.ts';
import { GIT_ENVIRONMENT, git } from '../../support/host/git.ts';
import { connect, type HttpServerOptions, startHttp } from './support/http-server.ts';

const ANN = 'token-of-ann-0123456789';
const BOB = 'token-of-bob-0123456789';
const env = { SANDBOX_MCP_AUTH_TOKENS: `ann:${ANN},bob:${BOB}` };
const log = createLogger('silent');
const SANDBOX = { principal: 'local', sandboxId: 'sbx_1' };
const RECEIVED = 'application/x-git-upload-pack-request';

let root: string;
/** A repository with a commit on the branch `work`, and an empty one. */
let inside: string;
let host: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'git-'));
  inside = join(root, 'inside');
  host = join(root, 'host');
  await git(root, 'init', '-q', '-b', 'work', inside);
  await git(root, 'init', '-q', host);
  await writeFile(join(inside, 'large'), randomBytes(300_000));
  await commit('from the sandbox');
});
afterAll(() => rm(root, { recursive: true }));

async function commit(message: string): Promise<void> {
  await git(inside, 'add', '-A');
  await git(inside, 'commit', '-qm', message);
}

/** Serves a repository of this machine as if it were one in a sandbox. */
function repositoriesAt(folder: string): GitRepositories {
  return {
    async *uploadPack({ path, request, protocol }) {
      if (path !== '') throw new SandboxError('not_found', `There is no git repository at ${path}.`);
      const args = ['upload-pack', '--stateless-rpc', ...(request === null ? ['--advertise-refs'] : [])];
      const variables = protocol === null ? {} : { GIT_PROTOCOL: protocol };
      const program = spawn('git', ['-c', 'safe.directory=*', ...args, folder], {
        env: { ...GIT_ENVIRONMENT, ...variables },
      });
      // A client that only lists references sends nothing that git waits for.
      program.stdin.on('error', () => {});
      program.stdin.end(request ?? '');
      for await (const chunk of program.stdout) yield Buffer.from(chunk);
    },
  };
}

async function start(uploads: GitRepositories, options: HttpServerOptions = {}) {
  const world = openWorld();
  world.engine.git = uploads;
  const server = await startHttp({ env, world, ...options });
  const { client } = await connect(server, ANN);
  await client.callTool({ name: 'sandbox_create', arguments: {} });
  const answer = await client.callTool({ name: 'sandbox_get', arguments: {} });
  return { server, url: z.looseObject({ git_url: z.string() }).parse(answer.structuredContent).git_url };
}

/** A listener as on stdio. */
async function listen(uploads: GitRepositories): Promise<string> {
  const listener = await listenForGit(uploads, log);
  onTestFinished(() => listener.close());
  return listener.urlOf(SANDBOX);
}

/** Requests without a listener, for anyone. */
async function serve(uploads: GitRepositories, options: { maxAnswerBytes?: number } = {}) {
  const names = new RepositoryNames();
  const requests = new GitRequests({ names, registry: uploads, admit: async () => null, log, ...options });
  let handled = Promise.resolve();
  const server = createServer((request, response) => {
    handled = requests.handle(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => {
    server.close();
    server.closeAllConnections();
  });
  const { port } = z.looseObject({ port: z.int() }).parse(server.address());
  return {
    urlOf: (sandbox: SandboxOwner) => `http://127.0.0.1:${port}/git/${names.nameOf(sandbox)}`,
    /** The last request. */
    handled: () => handled,
  };
}

function ask(url: string, body: string | Buffer, headers: Record<string, string> = {}) {
  return fetch(`${url}/git-upload-pack`, {
    method: 'POST',
    headers: { 'content-type': RECEIVED, ...headers },
    body: new Uint8Array(Buffer.from(body)),
  });
}

describe('git fetch from a sandbox', () => {
  it('works over HTTP for anyone who knows the URL, with every version of the protocol', async () => {
    const { server, url } = await start(repositoriesAt(inside));
    expect(url).toMatch(new RegExp(`^${server.url}/git/[0-9a-f]{32}$`));
    for (const version of ['0', '1', '2']) {
      await git(host, '-c', `protocol.version=${version}`, 'fetch', '-q', url, `+work:v${version}`);
      expect(await git(host, 'log', '--format=%s', `v${version}`)).toBe('from the sandbox\n');
    }
    await git(inside, 'branch', 'główna');
    await git(host, 'fetch', '-q', url, 'główna');
    await writeFile(join(inside, 'more'), 'x');
    await commit('second');
    // What the host has is not sent again.
    await git(host, 'fetch', '-q', url, '+work:v2');
    expect(await git(host, 'log', '--format=%s', 'v2')).toBe('second\nfrom the sandbox\n');
  });

  it('is for the owner alone where previews are', async () => {
    const { url } = await start(repositoriesAt(inside), { flags: { 'preview-access': 'owner' } });
    const as = (token: string) => url.replace('://', `://x:${token}@`);
    await git(host, 'fetch', '-q', as(ANN), 'work');
    await git(host, '-c', `http.extraHeader=Authorization: Bearer ${ANN}`, 'fetch', '-q', url, 'work');
    await expect(git(host, 'fetch', as('wrong-token-0123456789'), 'work')).rejects.toThrow(
      'Authentication failed',
    );
    await expect(git(host, 'fetch', url, 'work')).rejects.toThrow('could not read Username');
    await expect(git(host, 'fetch', as(BOB), 'work')).rejects.toThrow('no such repository');
  });

  it('takes no pushes, and explains what it refuses', async () => {
    const url = await listen(repositoriesAt(inside));
    await git(host, 'fetch', '-q', url, 'work:pushed');
    await expect(git(host, 'push', url, 'pushed:other')).rejects.toThrow('A sandbox takes no pushes');
    await expect(git(host, 'fetch', `${url}/below`, 'work')).rejects.toThrow('no git repository at below');
    const unknown = url.replace(/[0-9a-f]{32}$/, '0'.repeat(32));
    await expect(git(host, 'fetch', unknown, 'work')).rejects.toThrow('its sandbox has ended');
    const status = async (path: string, init?: RequestInit) => (await fetch(`${url}${path}`, init)).status;
    expect(await status('/git-receive-pack', { method: 'POST' })).toBe(403);
    expect(await status('/info/refs')).toBe(403);
    expect(await status('/HEAD')).toBe(404);
    expect(await status('/%zz/info/refs?service=git-upload-pack')).toBe(404);
    expect(await status('/git-upload-pack')).toBe(405);
    expect(await status('/git-upload-pack', { method: 'POST', body: '0000' })).toBe(415);
    expect((await ask(url, '0000\0')).status).toBe(400);
    expect((await ask(url, 'x'.repeat(1_100_000))).status).toBe(413);
    expect((await ask(url, gzipSync('x'.repeat(9_000_000)), { 'content-encoding': 'gzip' })).status).toBe(
      413,
    );
    expect((await ask(url, 'x', { 'content-encoding': 'gzip' })).status).toBe(400);
  });

  it('is refused to pages of other names', async () => {
    const url = new URL(await listen(repositoriesAt('/')));
    const path = `${url.pathname}/info/refs?service=git-upload-pack`;
    const request = httpRequest({
      port: url.port,
      host: url.hostname,
      path,
      headers: { host: 'evil.example' },
    });
    const [response] = await once(request.end(), 'response');
    expect(response.statusCode).toBe(403);
    response.resume();
  });

  it('cuts an endless answer, and ends the program when its reader leaves', async () => {
    let ended = 0;
    const endless: GitRepositories = {
      async *uploadPack() {
        try {
          for (;;) yield randomBytes(65_536);
        } finally {
          ended += 1;
        }
      },
    };
    const { urlOf } = await serve(endless, { maxAnswerBytes: 1_000_000 });
    await expect(git(host, 'fetch', urlOf(SANDBOX), 'work')).rejects.toThrow();
    expect(ended).toBe(1);

    const unlimited = await listen(endless);
    const { body } = await ask(unlimited, '0000');
    await body?.getReader().cancel();
    await expect.poll(() => ended).toBe(2);
  });

  it('ends a program whose reader left before its first output', async () => {
    let ended = 0;
    const events = new EventEmitter();
    const started = once(events, 'started');
    const slow: GitRepositories = {
      async *uploadPack(_wanted, signal) {
        try {
          events.emit('started');
          await once(signal, 'abort');
          yield Buffer.from('late');
        } finally {
          ended += 1;
        }
      },
    };
    const { urlOf, handled } = await serve(slow);
    const leaving = new AbortController();
    const requested = fetch(`${urlOf(SANDBOX)}/info/refs?service=git-upload-pack`, {
      signal: leaving.signal,
    });
    await started;
    leaving.abort();
    await expect(requested).rejects.toThrow();
    await handled();
    expect(ended).toBe(1);
  });

  it('from one sandbox or one principal does not take the place of all others', async () => {
    const events = new EventEmitter();
    const started = once(events, 'started');
    let hanging = 0;
    const hangs: GitRepositories = {
      async *uploadPack({ sandboxId }, signal) {
        if (!sandboxId.startsWith('hanging')) return yield Buffer.from('0000');
        hanging += 1;
        if (hanging === 4) events.emit('started');
        await once(signal, 'abort');
      },
    };
    const { urlOf } = await serve(hangs);
    const leaving = new AbortController();
    const { signal } = leaving;
    onTestFinished(() => leaving.abort());
    const from = (principal: string, sandboxId: string) =>
      fetch(`${urlOf({ principal, sandboxId })}/info/refs?service=git-upload-pack`, { signal });
    const abandoned = () => 'abandoned';
    for (const id of ['hanging1', 'hanging1', 'hanging2', 'hanging2']) void from('ann', id).catch(abandoned);
    await started;
    const third = await from('ann', 'hanging1');
    expect(third.status).toBe(503);
    expect(third.headers.get('retry-after')).toBe('5');
    expect(await third.text()).toContain('2 fetches are running from this sandbox');
    expect(await (await from('ann', 'other')).text()).toContain(
      '4 fetches are running from sandboxes of its',
    );
    expect((await from('bob', 'another')).status).toBe(200);
  });

  it('says when the sandbox has ended, has no git, or is on an engine without', async () => {
    let failure = new SandboxError('unsupported', 'There is no git in the sandbox.', {
      hint: 'Install git.',
    });
    const failing: GitRepositories = {
      // biome-ignore lint/correctness/useYield: it fails before its first chunk
      async *uploadPack() {
        throw failure;
      },
    };
    const url = await listen(failing);
    await expect(git(host, 'fetch', url, 'work')).rejects.toThrow('no git in the sandbox. Install git.');
    const details = { status: 'stopped' };
    failure = new SandboxError('conflict', 'Sandbox sbx_1 is stopped.', { details });
    await expect(git(host, 'fetch', url, 'work')).rejects.toThrow('its sandbox has ended');
    // It may be resumed, and a conflict may pass.
    failure = new SandboxError('conflict', 'Sandbox sbx_1 is snapshotting.');
    await expect(git(host, 'fetch', url, 'work')).rejects.toThrow('sbx_1 is snapshotting');
    expect((await ask(url, '0000')).status).toBe(503);

    const world = openWorld();
    const { client } = await connect(await startHttp({ env, world }), ANN);
    await client.callTool({ name: 'sandbox_create', arguments: {} });
    const answer = await client.callTool({ name: 'sandbox_get', arguments: {} });
    expect(answer.structuredContent).toMatchObject({ git_url: null });
    const wanted = { sandboxId: 'sbx_1', path: '', request: null, protocol: null };
    expect(() => world.registry.uploadPack(wanted, new AbortController().signal)).toThrow('Nothing can be');
  });
});
