import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { MemorySnapshots } from '../../fakes/memory-snapshots.ts';
import { openWorld, temporaryFolder } from '../../registry/support/registry.ts';
import { textOf, toolOf } from '../support/connected-server.ts';
import {
  connect,
  type HttpServer,
  type HttpServerOptions,
  INITIALIZE,
  post,
  startHttp,
} from './support/http-server.ts';
import { connectNewest, REVISION } from './support/newest-client.ts';

const ANN = 'token-of-ann-0123456789';
const BOB = 'token-of-bob-0123456789';
const env = { SANDBOX_MCP_AUTH_TOKENS: `ann:${ANN},bob:${BOB}` };

function startForTwo(options: HttpServerOptions = {}) {
  return startHttp({ env, ...options });
}

describe('authentication', () => {
  it.each<[string, Record<string, string>, string]>([
    ['no token', {}, 'Bearer'],
    ['a wrong token', { authorization: `Bearer ${ANN}x` }, 'Bearer error="invalid_token"'],
    ['part of a token', { authorization: `Bearer ${ANN.slice(1)}` }, 'Bearer error="invalid_token"'],
    ['another scheme', { authorization: `Basic ${ANN}` }, 'Bearer error="invalid_request"'],
    ['a malformed header', { authorization: 'Bearer' }, 'Bearer error="invalid_request"'],
  ])('%s is refused', async (_name, headers, challenge) => {
    const server = await startForTwo();
    const response = await post(server, INITIALIZE, headers);
    expect(response.status).toBe(401);
    expect(response.headers.get('www-authenticate')).toBe(challenge);
    expect(server.logged()).not.toContain(ANN);
  });

  it('limits requests per principal', async () => {
    const server = await startForTwo({ flags: { 'rate-limit': '2' } });
    const statuses = [];
    for (const token of [ANN, ANN, ANN, BOB]) {
      const response = await post(server, INITIALIZE, { authorization: `Bearer ${token}` });
      statuses.push(response.status);
      if (response.status !== 429) continue;
      // One more is allowed every 30 s.
      expect(Number(response.headers.get('retry-after'))).toBeGreaterThan(0);
      expect(Number(response.headers.get('retry-after'))).toBeLessThanOrEqual(30);
    }
    expect(statuses).toEqual([200, 200, 429, 200]);
  });
});

/** The id of an event that a stream of this session of Ann's has had. */
async function eventOf(server: HttpServer, session: Record<string, string>): Promise<string> {
  const call = {
    jsonrpc: '2.0',
    id: 99,
    method: 'tools/call',
    params: { name: 'session_info', arguments: {} },
  };
  const headers = { authorization: `Bearer ${ANN}`, 'mcp-protocol-version': '2025-11-25', ...session };
  const [, id] = /^id: (.*)$/m.exec(await (await post(server, call, headers)).text()) ?? [];
  if (id === undefined) throw new Error('the stream has no event id');
  return id;
}

/** The status of a visit to a preview. Its name may not resolve, so the connection is made to the server. */
async function previewStatus(server: string, preview: string, token: string): Promise<number | undefined> {
  const request = httpRequest(server.replace('localhost', '127.0.0.1'), {
    headers: { host: new URL(preview).host, authorization: `Bearer ${token}` },
    agent: false,
  }).end();
  const [response] = await once(request, 'response');
  response.resume();
  return response.statusCode;
}

describe('two principals', () => {
  /** Arguments with which each tool would act on the given objects, if they were the caller's. */
  function argumentsOf(ids: { sandbox: string; command: string; snapshot: string; shell: string }) {
    const inSandbox = { sandbox_id: ids.sandbox };
    const ofCommand = { command_id: ids.command };
    const ofSnapshot = { snapshot_id: ids.snapshot };
    const paths = { local_path: 'f', remote_path: 'f', ...inSandbox };
    const found: Record<string, Record<string, unknown>> = {
      sandbox_create: { source: { type: 'snapshot', ...ofSnapshot } },
      sandbox_get: inSandbox,
      sandbox_wait_for_status: { status: 'running', ...inSandbox },
      sandbox_domain: { port: 3000, ...inSandbox },
      sandbox_extend_timeout: { duration_ms: 1000, ...inSandbox },
      sandbox_update_network_policy: { network_policy: { mode: 'deny-all' }, ...inSandbox },
      sandbox_snapshot: inSandbox,
      sandbox_stop: inSandbox,
      sandbox_run_command: { cmd: 'ls', ...inSandbox },
      sandbox_run_command_detached: { cmd: 'ls', ...inSandbox },
      sandbox_get_command: ofCommand,
      sandbox_mk_dir: { path: 'd', ...inSandbox },
      sandbox_read_file: { path: 'f', ...inSandbox },
      sandbox_iter_file: { path: 'f', ...inSandbox },
      sandbox_write_files: { files: [{ path: 'f', content: '' }], ...inSandbox },
      sandbox_edit_file: { path: 'f', edits: [{ old_text: 'a', new_text: 'b' }], ...inSandbox },
      sandbox_list_files: inSandbox,
      sandbox_search_files: { pattern: 'a', ...inSandbox },
      sandbox_download_file: paths,
      sandbox_upload_file: paths,
      sandbox_changes: inSandbox,
      sandbox_apply_changes: inSandbox,
      sandbox_shell: inSandbox,
      shell_send: { shell_id: ids.shell },
      shell_close: { shell_id: ids.shell },
      command_logs: ofCommand,
      command_wait: ofCommand,
      command_output: ofCommand,
      command_kill: ofCommand,
      snapshot_get: ofSnapshot,
      snapshot_delete: ofSnapshot,
    };
    return found;
  }
  /** They take no id, and answer what is the caller's own. */
  const OWN = ['sandbox_list', 'snapshot_list', 'session_info'];

  it('never reach each other by any id in any tool', async () => {
    const world = openWorld();
    world.engine.snapshots = new MemorySnapshots(world.engine, () => world.clock.now());
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'bob'));
    writeFileSync(join(folder, 'bob', 'f'), '');
    const server = await startForTwo({ world, flags: { 'allow-dir': folder } });
    const ann = await connect(server, ANN);
    const bob = await connect(server, BOB);
    const structured = async (name: string, args: Record<string, unknown> = {}) =>
      z
        .record(z.string(), z.unknown())
        .parse((await ann.client.callTool({ name, arguments: args })).structuredContent);
    const saved = await structured('sandbox_create');
    const { snapshot_id } = await structured('sandbox_snapshot', { sandbox_id: saved['sandbox_id'] });
    const { sandbox_id } = await structured('sandbox_create', { ports: [3000] });
    const { command_id } = await structured('sandbox_run_command_detached', { cmd: 'sleep' });
    const real = {
      sandbox: String(sandbox_id),
      command: String(command_id),
      snapshot: String(snapshot_id),
      shell: 'shl_22222222',
    };
    const invented = {
      sandbox: 'sbx_222222222222',
      command: 'cmd_222222222222_22222222',
      snapshot: 'snap_222222',
      shell: 'shl_33333333',
    };
    const before = world.engine.calls.length;
    const attempts = Object.entries(argumentsOf(real));
    for (const [name, args] of attempts) {
      const answer = textOf(await bob.client.callTool({ name, arguments: args }));
      expect(answer, name).toContain('Error (not_found)');
      // Not even the wording says that the object exists.
      const unknown = textOf(
        await bob.client.callTool({ name, arguments: argumentsOf(invented)[name] ?? {} }),
      );
      const masked = Object.entries(real).reduce(
        (text, [kind, id]) =>
          text.replaceAll(id, Object.entries(invented).find(([key]) => key === kind)?.[1] ?? ''),
        answer,
      );
      expect(masked, name).toBe(unknown);
    }
    for (const name of OWN) {
      const answer = textOf(await bob.client.callTool({ name, arguments: {} }));
      for (const id of Object.values(real)) expect(answer, name).not.toContain(id);
    }
    expect(world.engine.calls.slice(before)).toEqual([]);
    const { tools } = await bob.client.listTools();
    expect([...attempts.map(([name]) => name), ...OWN].sort()).toEqual(tools.map(({ name }) => name).sort());
    // The same while the owner works, all at once.
    const callAll = ({ client }: typeof ann, calls: [string, Record<string, unknown>][]) =>
      Promise.all(
        calls.map(async ([name, args]) => textOf(await client.callTool({ name, arguments: args }))),
      );
    const run: (typeof attempts)[number] = ['sandbox_run_command', { cmd: 'x', wait_ms: 0 }];
    const [tried, worked] = await Promise.all([callAll(bob, attempts), callAll(ann, Array(10).fill(run))]);
    for (const answer of tried) expect(answer).toContain('Error (not_found)');
    for (const answer of worked) expect(answer).toContain(real.sandbox);
    // Everything is still there for its owner.
    expect(textOf(await ann.client.callTool({ name: 'sandbox_get' }))).toContain('running');
    const kept = await ann.client.callTool({ name: 'snapshot_get', arguments: { snapshot_id } });
    expect(kept.structuredContent).toMatchObject({ snapshot_id });
  });

  it("cannot use or end each other's sessions", async () => {
    const server = await startForTwo();
    const { client, transport } = await connect(server, ANN);
    const session = { 'mcp-session-id': transport.sessionId ?? '' };
    const headers = { ...session, authorization: `Bearer ${BOB}`, accept: 'text/event-stream' };
    const ping = { jsonrpc: '2.0', id: 9, method: 'ping' };
    expect((await post(server, ping, { ...session, authorization: `Bearer ${BOB}` })).status).toBe(404);
    for (const method of ['GET', 'DELETE']) {
      expect((await fetch(`${server.url}/mcp`, { method, headers })).status).toBe(404);
    }
    await client.ping();
  });

  it('learn nothing of each other from any URL', async () => {
    const flags = { 'preview-access': 'owner' };
    const server = await startForTwo({ flags });
    const ann = await connect(server, ANN);
    const created = await ann.client.callTool({ name: 'sandbox_create', arguments: { ports: [3000] } });
    const domain = await ann.client.callTool({ name: 'sandbox_domain', arguments: { port: 3000 } });
    const { sandbox_id } = z.looseObject({ sandbox_id: z.string() }).parse(created.structuredContent);
    const { url } = z.looseObject({ url: z.url() }).parse(domain.structuredContent);
    const secrets = [sandbox_id, new URL(url).hostname, ann.transport.sessionId ?? '', 'ann'];
    const session = { 'mcp-session-id': ann.transport.sessionId ?? '' };
    const accept = 'application/json, text/event-stream';
    const modern = { 'mcp-protocol-version': REVISION };
    const ping = { jsonrpc: '2.0', id: 9, method: 'ping' };
    const open = await post(server, INITIALIZE, { authorization: `Bearer ${BOB}` });
    const own = { 'mcp-session-id': open.headers.get('mcp-session-id') ?? '' };
    const events = await eventOf(server, session);
    const requests: [string, string, Record<string, string>, object | null, number][] = [
      ['POST', '/mcp', session, ping, 404],
      ['POST', '/mcp', session, INITIALIZE, 404],
      ['POST', '/mcp', { ...session, ...modern }, ping, 400],
      ['GET', '/mcp', session, null, 404],
      ['GET', '/mcp', { ...session, 'last-event-id': events }, null, 404],
      ['GET', '/mcp', { ...own, 'last-event-id': events }, null, 400],
      ['GET', '/mcp', { ...session, ...modern }, null, 405],
      ['DELETE', '/mcp', session, null, 404],
      ['DELETE', '/mcp', { ...session, ...modern }, null, 405],
      ['GET', '/metrics', {}, null, 200],
      ['GET', '/healthz', {}, null, 200],
      ['GET', '/.well-known/oauth-protected-resource', {}, null, 404],
      ['GET', '/', {}, null, 404],
    ];
    for (const [method, path, headers, body, status] of requests) {
      const response = await fetch(server.url + path, {
        method,
        headers: { authorization: `Bearer ${BOB}`, accept, 'content-type': 'application/json', ...headers },
        body: body === null ? null : JSON.stringify(body),
      });
      const text = await response.text();
      expect([method, path, response.status]).toEqual([method, path, status]);
      for (const secret of secrets) expect(text, `${method} ${path}`).not.toContain(secret);
    }
    expect(await previewStatus(server.url, url, BOB)).toBe(404);
    await ann.client.ping();
  });

  it('share no conversation, even with the same name', async () => {
    const server = await startForTwo();
    const [ann, bob] = [
      await connectNewest(server, { mode: 'pin', token: ANN }),
      await connectNewest(server, { mode: 'pin', token: BOB }),
    ];
    const { sandbox_id } = await ann.call('sandbox_create', {}, 'work');
    expect((await bob.call('sandbox_get', {}, 'work')).text).toContain('no current sandbox');
    expect((await bob.call('session_info', {}, 'work')).text).not.toContain(String(sandbox_id));
    expect(await ann.call('sandbox_get', {}, 'work')).toMatchObject({ sandbox_id });
  });

  it('find what they own after a restart, and nothing else', async () => {
    const world = openWorld();
    const first = await startForTwo({ world });
    const before = await connect(first, ANN);
    await before.client.callTool({ name: 'sandbox_create', arguments: { keep: true } });
    first.signal();
    await first.ended;
    const server = await startForTwo({ world: { ...world, registry: world.restart() } });
    const ann = await connect(server, ANN);
    const bob = await connect(server, BOB);
    const listOf = async ({ client }: typeof ann) =>
      (await client.callTool({ name: 'sandbox_list' })).structuredContent;
    expect(await listOf(ann)).toMatchObject({ sandboxes: [{ status: 'running', keep: true }] });
    expect(await listOf(bob)).toMatchObject({ sandboxes: [] });
  });

  it('have a folder each below --allow-dir, and none without it', async () => {
    const folders = toolOf('folders', async (_args, { config }) => config.allowDirs.join());
    const folder = temporaryFolder();
    const server = await startForTwo({ tools: [folders], flags: { 'allow-dir': folder } });
    const none = await startForTwo({ tools: [folders] });
    const foldersOf = async (at: typeof server, token: string) => {
      const { client } = await connect(at, token);
      return textOf(await client.callTool({ name: 'folders' }));
    };
    expect(await foldersOf(server, ANN)).toBe(`said: ${join(folder, 'ann')}`);
    expect(await foldersOf(server, BOB)).toBe(`said: ${join(folder, 'bob')}`);
    expect(await foldersOf(none, ANN)).toBe('said: ');
  });
});
