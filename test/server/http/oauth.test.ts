import { SignJWT, UnsecuredJWT } from 'jose';
import { describe, expect, it } from 'vitest';
import { principalOf } from '../../../src/server/http/oauth/access-token.ts';
import { TOOLS } from '../../../tools/index.ts';
import { textOf, toolOf } from '../support/connected-server.ts';
import { connect, type HttpServerOptions, INITIALIZE, post, startHttp } from './support/http-server.ts';
import { startTokenIssuer, type TokenIssuer } from './support/token-issuer.ts';

const who = toolOf('who', async (_args, { session }) => session.principal);
const change = {
  ...toolOf('change', async () => 'changed'),
  annotations: { ...who.annotations, readOnlyHint: false },
};
const NOW_S = Math.floor(Date.now() / 1000);

async function start(options: HttpServerOptions = {}) {
  let resource = '';
  const issuer = await startTokenIssuer(() => resource);
  const { flags, ...rest } = options;
  const server = await startHttp({
    tools: [who, change],
    ...rest,
    flags: { 'oauth-issuer': issuer.url, ...flags },
  });
  resource = `${server.url}/mcp`;
  const send = (token: string | null, message: object = INITIALIZE) =>
    post(server, message, token === null ? {} : { authorization: `Bearer ${token}` });
  return { issuer, server, resource, send };
}

function call(name: string) {
  return { jsonrpc: '2.0', id: 3, method: 'tools/call', params: { name, arguments: {} } };
}

describe('the metadata of the protected resource', () => {
  it('is at both well-known paths, and needs no token', async () => {
    const { server, issuer, resource } = await start();
    for (const path of ['', '/mcp']) {
      const response = await fetch(`${server.url}/.well-known/oauth-protected-resource${path}`);
      expect(await response.json()).toEqual({
        resource,
        authorization_servers: [issuer.url],
        scopes_supported: ['sandbox:read', 'sandbox:write'],
        bearer_methods_supported: ['header'],
        resource_name: 'sandbox-mcp',
      });
    }
  });

  it('names the public URL, and exists only with an authorization server', async () => {
    const flags = { 'public-url': 'https://sandbox.example/team', engine: 'vercel', 'read-only': 'true' };
    const { server } = await start({ flags });
    const refused = await post(server, INITIALIZE);
    expect(refused.headers.get('www-authenticate')).toBe(
      'Bearer scope="sandbox:read sandbox:cloud", resource_metadata="https://sandbox.example/.well-known/oauth-protected-resource/team/mcp"',
    );
    const path = '/.well-known/oauth-protected-resource/team/mcp';
    const metadata = await fetch(`${server.url}${path}`);
    expect(await metadata.json()).toMatchObject({ resource: 'https://sandbox.example/team/mcp' });
    expect((await fetch(`${(await startHttp()).url}${path}`)).status).toBe(404);
  });
});

describe('an access token', () => {
  const refused: [string, string, (issuer: TokenIssuer) => Promise<string> | string][] = [
    ['expired', 'The token has expired.', (issuer) => issuer.sign({ exp: NOW_S - 60 })],
    [
      'for another resource',
      'for another resource',
      (issuer) => issuer.sign({ aud: 'https://other.example' }),
    ],
    ['for no resource', 'for another resource', (issuer) => issuer.sign({ aud: undefined })],
    ['from another issuer', 'from another issuer', (issuer) => issuer.sign({ iss: 'https://evil.example' })],
    ['that never expires', 'lacks a claim', (issuer) => issuer.sign({ exp: undefined })],
    ['not valid yet', 'lacks a claim', (issuer) => issuer.sign({ nbf: NOW_S + 600 })],
    ['without a subject', 'lacks a claim', (issuer) => issuer.sign({ sub: undefined })],
    ['with an empty subject', 'no subject', (issuer) => issuer.sign({ sub: '' })],
    [
      'with another signature',
      'not valid',
      async (issuer) => `${(await issuer.sign()).slice(0, -8)}AAAAAAAA`,
    ],
    [
      'without a signature',
      'not valid',
      async (issuer) =>
        new UnsecuredJWT({ iss: issuer.url, sub: 'ann', scope: 'sandbox:write' })
          .setExpirationTime('1h')
          .encode(),
    ],
    [
      'signed with a secret',
      'not valid',
      (issuer) =>
        new SignJWT({ iss: issuer.url, sub: 'ann' })
          .setProtectedHeader({ alg: 'HS256', kid: 'key-1' })
          .setExpirationTime('1h')
          .sign(new TextEncoder().encode('a secret that anybody may choose')),
    ],
    ['that is no JWT', 'not valid', () => 'abcdefghijklmnop'],
    ['with garbage inside', 'not valid', () => 'e30.e30.e30'],
  ];
  it.each(refused)('%s is refused', async (_name, reason, tokenOf) => {
    const { issuer, server, send } = await start();
    const token = await tokenOf(issuer);
    const response = await send(token);
    expect(response.status).toBe(401);
    const challenge = response.headers.get('www-authenticate') ?? '';
    expect(challenge).toContain('error="invalid_token"');
    expect(challenge).toContain(`resource_metadata="${server.url}/.well-known/oauth-protected-resource/mcp"`);
    expect(await response.text()).toContain(reason);
    expect(server.logged()).not.toContain(token);
    expect((await send(await issuer.sign())).status).toBe(200);
  });

  it('makes each subject of each issuer a principal', async () => {
    const { issuer, server } = await start({ env: { SANDBOX_MCP_AUTH_TOKENS: `bob:${'b'.repeat(20)}` } });
    const whoIs = async (token: string) =>
      textOf(await (await connect(server, token)).client.callTool({ name: 'who' }));
    const principal = principalOf({ issuer: issuer.url, subject: '../../Ann' });
    expect(principal).toMatch(/^ann_[0-9a-f]{32}$/);
    expect(await whoIs(await issuer.sign({ sub: '../../Ann' }))).toBe(`said: ${principal}`);
    expect(await whoIs(await issuer.sign({ sub: 'ann' }))).not.toBe(`said: ${principal}`);
    expect(principalOf({ issuer: 'https://a.example', subject: 'ann' })).not.toBe(
      principalOf({ issuer: 'https://b.example', subject: 'ann' }),
    );
    // The operator's own tokens are valid besides.
    expect(await whoIs('b'.repeat(20))).toBe('said: bob');
  });

  it('opens no session of another subject', async () => {
    const { issuer, server } = await start();
    const { transport } = await connect(server, await issuer.sign());
    const headers = {
      'mcp-session-id': transport.sessionId ?? '',
      authorization: `Bearer ${await issuer.sign({ sub: 'bob' })}`,
    };
    expect((await post(server, { jsonrpc: '2.0', id: 2, method: 'ping' }, headers)).status).toBe(404);
  });

  it('is accepted for the audience that the operator names', async () => {
    const { issuer, send } = await start({ flags: { 'oauth-audience': 'api://sandboxes' } });
    expect((await send(await issuer.sign())).status).toBe(401);
    expect((await send(await issuer.sign({ aud: ['https://x.example', 'api://sandboxes'] }))).status).toBe(
      200,
    );
  });
});

describe('scopes', () => {
  it.each<[string, string, boolean]>([
    ['oci', 'false', true],
    ['vercel', 'false', false],
    ['vercel', 'true', true],
  ])('engine %s, read-only %s: reading suffices for sandbox_get: %s', async (engine, readOnly, suffices) => {
    const flags = { engine, 'read-only': readOnly };
    const { issuer, send } = await start({ tools: TOOLS, flags });
    const token = await issuer.sign({ scope: 'sandbox:read sandbox:cloud' });
    // Allowed, and then refused because it names no session.
    expect((await send(token, call('sandbox_get'))).status).toBe(suffices ? 400 : 403);
    expect((await send(token, call('sandbox_list'))).status).toBe(400);
  });

  it.each<[string, string, 'who' | 'change' | null, string | null]>([
    ['oci', 'openid', null, 'sandbox:read'],
    ['oci', 'sandbox:read', 'who', null],
    ['oci', 'sandbox:write', 'who', null],
    ['oci', 'sandbox:read openid', 'change', 'sandbox:read sandbox:write'],
    ['oci', 'sandbox:write', 'change', null],
    ['vercel', 'sandbox:read sandbox:write', 'change', 'sandbox:read sandbox:write sandbox:cloud'],
    ['vercel', 'sandbox:read', 'who', 'sandbox:read sandbox:cloud'],
    ['vercel', 'sandbox:cloud sandbox:write', 'change', null],
  ])('engine %s, token with "%s", tool %s: ask for %s', async (engine, scope, tool, wanted) => {
    const { issuer, send } = await start({ flags: { engine } });
    const response = await send(await issuer.sign({ scope }), tool === null ? INITIALIZE : call(tool));
    if (wanted === null) {
      // Allowed, and then refused because it names no session.
      expect(response.status).toBe(400);
      return;
    }
    expect(response.status).toBe(403);
    const challenge = response.headers.get('www-authenticate');
    expect(challenge).toContain('error="insufficient_scope"');
    expect(challenge).toContain(`scope="${wanted}"`);
  });

  it.each([
    ['oci', 'tasks/cancel', 'sandbox:read', 'sandbox:write'],
    ['oci', 'tasks/update', 'sandbox:read', 'sandbox:write'],
    ['vercel', 'tasks/get', 'sandbox:write', 'sandbox:read sandbox:cloud'],
    ['vercel', 'tasks/cancel', 'sandbox:write', 'sandbox:write sandbox:cloud'],
  ])('engine %s, %s: not "%s", but "%s"', async (engine, method, less, enough) => {
    const { issuer, send } = await start({ flags: { engine } });
    const message = { jsonrpc: '2.0', id: 4, method, params: { taskId: 'cmd_x' } };
    expect((await send(await issuer.sign({ scope: less }), message)).status).toBe(403);
    expect((await send(await issuer.sign({ scope: enough }), message)).status).toBe(400);
  });

  it('may be a list named scp', async () => {
    const { issuer, send } = await start();
    expect((await send(await issuer.sign({ scope: undefined, scp: ['sandbox:read'] }))).status).toBe(200);
    expect((await send(await issuer.sign({ scope: undefined }))).status).toBe(403);
  });
});

describe("the issuer's keys", () => {
  const rotating = { issuer: { cooldownMs: 0 } };

  it.each(['down', 'slow', 'garbage'] as const)('that are %s refuse nobody for good', async (mode) => {
    const { issuer, server, send } = await start({ issuer: { fetchMs: 300, retryMs: 0 } });
    issuer.mode = mode;
    const token = await issuer.sign();
    const refused = await send(token);
    expect(refused.status).toBe(503);
    expect(refused.headers.get('retry-after')).toBe('5');
    expect(refused.headers.get('www-authenticate')).toBeNull();
    expect(server.logged()).not.toContain(token);
    expect((await fetch(`${server.url}/healthz`)).status).toBe(200);
    issuer.mode = 'up';
    await expect.poll(async () => (await send(token)).status).toBe(200);
  });

  it.each([
    ['metadata', 3],
    ['keys', 2],
  ])('whose %s cannot be loaded are not asked for with every token', async (part, requests) => {
    const { issuer, server, send } = await start({ issuer: { retryMs: 600_000 } });
    if (part === 'metadata') issuer.mode = 'down';
    else issuer.keySetUrl = `${issuer.url}/nothing`;
    const token = await issuer.sign();
    const responses = await Promise.all(Array.from({ length: 5 }, () => send(token)));
    responses.push(await send(token), await send(token));
    expect(responses.map(({ status }) => status)).toEqual(Array(7).fill(503));
    expect(issuer.requests).toBe(requests);
    expect(server.logged().match(/no keys from the issuer/g)).toHaveLength(1);
  });

  it('are waited for once, in however many places the metadata may be', async () => {
    const { issuer, send } = await start({ issuer: { fetchMs: 1_000 } });
    issuer.mode = 'slow';
    expect((await send(await issuer.sign())).status).toBe(503);
    expect(issuer.requests).toBe(1);
  });

  it('are not loaded from where others could replace them', async () => {
    const { issuer, send } = await start({ issuer: { retryMs: 0 } });
    const inline = `data:application/json,${encodeURIComponent(JSON.stringify(issuer.keySet()))}`;
    const onAnyAddress = `${issuer.url}/keys`.replace('127.0.0.1', '0.0.0.0');
    for (const url of [inline, onAnyAddress]) {
      issuer.keySetUrl = url;
      expect((await send(await issuer.sign())).status).toBe(503);
    }
    expect(issuer.keyRequests).toBe(0);
  });

  it('are kept while the issuer is down', async () => {
    const { issuer, send } = await start(rotating);
    expect((await send(await issuer.sign())).status).toBe(200);
    issuer.mode = 'down';
    expect((await send(await issuer.sign())).status).toBe(200);
  });

  it('are loaded again after a rotation, and the old one is refused', async () => {
    const { issuer, send } = await start(rotating);
    const before = await issuer.sign();
    expect((await send(before)).status).toBe(200);
    await issuer.rotate();
    expect((await send(await issuer.sign())).status).toBe(200);
    expect((await send(before)).status).toBe(401);
  });

  it('are not loaded for every token with an unknown key', async () => {
    const { issuer, send } = await start();
    expect((await send(await issuer.sign())).status).toBe(200);
    await issuer.rotate();
    for (let count = 0; count < 5; count++) expect((await send(await issuer.sign())).status).toBe(401);
    expect(issuer.keyRequests).toBe(1);
  });

  it('can be named by the operator', async () => {
    const { issuer } = await start();
    const { send, issuer: other } = await start({
      flags: { 'oauth-issuer': 'https://issuer.example', 'oauth-jwks-url': `${issuer.url}/keys` },
    });
    expect((await send(await other.sign({ iss: 'https://issuer.example' }))).status).toBe(401);
    expect(issuer.keyRequests).toBe(1);
  });

  it('of an issuer with another name are not trusted', async () => {
    const issuer = await startTokenIssuer(() => '');
    const server = await startHttp({ tools: [who], flags: { 'oauth-issuer': `${issuer.url}/` } });
    const token = await issuer.sign({ iss: `${issuer.url}/`, aud: `${server.url}/mcp` });
    expect((await post(server, INITIALIZE, { authorization: `Bearer ${token}` })).status).toBe(503);
    expect(issuer.keyRequests).toBe(0);
  });
});
