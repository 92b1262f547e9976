/** Every tool and every URL, tried by a principal who owns nothing. */
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { request as httpRequest } from 'node:http';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import type { Route } from '../../../src/server/http/routes.ts';
import { TOOLS } from '../../../tools/index.ts';
import { MemorySnapshots } from '../../fakes/memory-snapshots.ts';
import { openWorld, temporaryFolder } from '../../registry/support/registry.ts';
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

const Url = z.looseObject({ url: z.url() });
const Git = z.looseObject({ git_url: z.url() });

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

  it.each(['legacy', 'pin'] as const)('never reach each other by any id in any tool: %s', async (mode) => {
    const world = openWorld();
    world.engine.snapshots = new MemorySnapshots(world.engine, () => world.clock.now());
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'bob'));
    writeFileSync(join(folder, 'bob', 'f'), '');
    const server = await startForTwo({ world, flags: { 'allow-dir': folder } });
    const ann = await connectNewest(server, { mode, token: ANN });
    const bob = await connectNewest(server, { mode, token: BOB });
    const saved = await ann.call('sandbox_create');
    const { snapshot_id } = await ann.call('sandbox_snapshot', { sandbox_id: saved['sandbox_id'] });
    const { sandbox_id } = await ann.call('sandbox_create', { ports: [3000] });
    const { command_id } = await ann.call('sandbox_run_command_detached', { cmd: 'sleep' });
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
      const { text } = await bob.call(name, args);
      expect(text, name).toContain('Error (not_found)');
      // Not even the wording says that the object exists.
      const { text: unknown } = await bob.call(name, argumentsOf(invented)[name] ?? {});
      const masked = Object.entries(real).reduce(
        (masking, [kind, id]) =>
          masking.replaceAll(id, Object.entries(invented).find(([key]) => key === kind)?.[1] ?? ''),
        text,
      );
      expect(masked, name).toBe(unknown);
    }
    for (const name of OWN) {
      const { text } = await bob.call(name);
      for (const id of Object.values(real)) expect(text, name).not.toContain(id);
    }
    expect(world.engine.calls.slice(before)).toEqual([]);
    const tried = [...attempts.map(([name]) => name), ...OWN].sort();
    expect(tried).toEqual(TOOLS.map(({ name }) => name).sort());
    const { tools } = await bob.client.listTools();
    expect(tried).toEqual(tools.map(({ name }) => name).sort());
    // The same while the owner works, all at once.
    const callAll = ({ call }: typeof ann, calls: [string, Record<string, unknown>][]) =>
      Promise.all(calls.map(async ([name, args]) => (await call(name, args)).text));
    const run: (typeof attempts)[number] = ['sandbox_run_command', { cmd: 'x', wait_ms: 0 }];
    const [refused, worked] = await Promise.all([callAll(bob, attempts), callAll(ann, Array(10).fill(run))]);
    for (const answer of refused) expect(answer).toContain('Error (not_found)');
    for (const answer of worked) expect(answer).toContain(real.sandbox);
    // Everything is still there for its owner.
    expect((await ann.call('sandbox_get')).text).toContain('running');
    expect(await ann.call('snapshot_get', { snapshot_id })).toMatchObject({ snapshot_id });
  });

  it('learn nothing of each other from any URL', async () => {
    const world = openWorld();
    world.engine.git = {
      uploadPack() {
        throw new Error('nobody may get here');
      },
    };
    const flags = { 'preview-access': 'owner', 'oauth-issuer': 'https://login.example' };
    const server = await startForTwo({ world, flags });
    const ann = await connect(server, ANN);
    const structured = async (name: string, args: Record<string, unknown> = {}) =>
      z
        .looseObject({ sandbox_id: z.string() })
        .parse((await ann.client.callTool({ name, arguments: args })).structuredContent);
    const { sandbox_id } = await structured('sandbox_create', { ports: [3000] });
    const { url } = Url.parse(await structured('sandbox_domain', { port: 3000 }));
    const { git_url } = Git.parse(await structured('sandbox_get'));
    const { pathname: repository } = new URL(git_url);
    const secrets = [sandbox_id, new URL(url).hostname, ann.transport.sessionId ?? '', 'ann'];
    const session = { 'mcp-session-id': ann.transport.sessionId ?? '' };
    const accept = 'application/json, text/event-stream';
    const modern = { 'mcp-protocol-version': REVISION };
    const ping = { jsonrpc: '2.0', id: 9, method: 'ping' };
    const open = await post(server, INITIALIZE, { authorization: `Bearer ${BOB}` });
    const own = { 'mcp-session-id': open.headers.get('mcp-session-id') ?? '' };
    const events = await eventOf(server, session);
    const requests: Record<Route, [string, string, Record<string, string>, object | null, number][]> = {
      mcp: [
        ['POST', '/mcp', session, ping, 404],
        ['POST', '/mcp', session, INITIALIZE, 404],
        ['POST', '/mcp', { ...session, ...modern }, ping, 400],
        ['GET', '/mcp', session, null, 404],
        ['GET', '/mcp', { ...session, 'last-event-id': events }, null, 404],
        ['GET', '/mcp', { ...own, 'last-event-id': events }, null, 400],
        ['GET', '/mcp', { ...session, ...modern }, null, 405],
        ['DELETE', '/mcp', session, null, 404],
        ['DELETE', '/mcp', { ...session, ...modern }, null, 405],
      ],
      git: [
        ['GET', `${repository}/info/refs?service=git-upload-pack`, {}, null, 404],
        ['POST', `${repository}/git-upload-pack`, {}, ping, 404],
        ['GET', '/git/', {}, null, 404],
      ],
      metrics: [['GET', '/metrics', {}, null, 200]],
      health: [['GET', '/healthz', {}, null, 200]],
      metadata: [
        ['GET', '/.well-known/oauth-protected-resource', {}, null, 200],
        ['GET', '/.well-known/oauth-protected-resource/mcp', {}, null, 200],
      ],
      unknown: [
        ['GET', '/', {}, null, 404],
        ['GET', `/mcp/${sandbox_id}`, {}, null, 404],
      ],
    };
    for (const [method, path, headers, body, status] of Object.values(requests).flat()) {
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
});
