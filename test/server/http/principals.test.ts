import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { openWorld, temporaryFolder } from '../../registry/support/registry.ts';
import { textOf, toolOf } from '../support/connected-server.ts';
import { connect, type HttpServerOptions, INITIALIZE, post, startHttp } from './support/http-server.ts';
import { connectNewest } from './support/newest-client.ts';

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

describe('two principals', () => {
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
