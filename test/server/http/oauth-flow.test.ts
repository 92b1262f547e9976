/** The whole way from an unauthorized client to a tool call, with a real authorization server. */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import type { OAuthClientProvider } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client as LegacyClient } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport as LegacyTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { decodeJwt } from 'jose';
import { expect, it, onTestFinished } from 'vitest';
import { principalOf } from '../../../src/server/http/oauth/access-token.ts';
import { textOf, toolOf } from '../support/connected-server.ts';
import { browse, REDIRECT_URL, startAuthorizationServer } from './support/authorization-server.ts';
import { startHttp } from './support/http-server.ts';
import { REVISION } from './support/newest-client.ts';

const who = toolOf('who', async (_args, { session }) => session.principal);
const change = {
  ...toolOf('change', async () => 'changed'),
  annotations: { ...who.annotations, readOnlyHint: false },
};

/** The client's half: what a program keeps of registration and tokens, and where it would send the user. */
function clientProvider() {
  const visited: URL[] = [];
  const kept: { client?: { client_id: string }; tokens?: { access_token: string }; verifier: string } = {
    verifier: '',
  };
  const provider: OAuthClientProvider = {
    redirectUrl: REDIRECT_URL,
    clientMetadata: {
      client_name: 'test',
      redirect_uris: [REDIRECT_URL],
      token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code'],
    },
    clientInformation: () => kept.client,
    saveClientInformation: (client) => {
      kept.client = client;
    },
    tokens: () => (kept.tokens === undefined ? undefined : { token_type: 'bearer', ...kept.tokens }),
    saveTokens: (tokens) => {
      kept.tokens = tokens;
    },
    redirectToAuthorization: (url) => void visited.push(url),
    saveCodeVerifier: (verifier) => {
      kept.verifier = verifier;
    },
    codeVerifier: () => kept.verifier,
  };
  return { provider, visited, kept };
}

type ClientProvider = ReturnType<typeof clientProvider>['provider'];

/** A client that has not connected yet. `finish` takes the parameters of the callback. */
function legacyClient(url: URL, authProvider: ClientProvider) {
  const client = new LegacyClient({ name: 'test', version: '1' });
  const transport = new LegacyTransport(url, { authProvider });
  onTestFinished(() => client.close());
  return {
    connect: () => client.connect(transport),
    call: async (name: string) => textOf(await client.callTool({ name })),
    finish: (callback: URLSearchParams) => transport.finishAuth(callback.get('code') ?? ''),
  };
}

function modernClient(url: URL, authProvider: ClientProvider) {
  const versionNegotiation = { mode: { pin: REVISION } };
  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation });
  const transport = new StreamableHTTPClientTransport(url, { authProvider });
  onTestFinished(() => client.close());
  return {
    connect: () => client.connect(transport),
    call: async (name: string) => textOf(await client.callTool({ name })),
    finish: (callback: URLSearchParams) => transport.finishAuth(callback),
  };
}

it.each([
  ['legacy', legacyClient],
  ['modern', modernClient],
])(
  'a client discovers, registers, asks the user, calls, and asks again when a tool needs more: %s',
  async (_era, clientAt) => {
    let resource = '';
    const { issuer, user } = await startAuthorizationServer(() => resource);
    const server = await startHttp({ flags: { 'oauth-issuer': issuer }, tools: [who, change] });
    resource = `${server.url}/mcp`;
    const { provider, visited, kept } = clientProvider();
    const refused = clientAt(new URL(resource), provider);
    await expect(refused.connect()).rejects.toThrow();
    const [authorization] = visited;
    expect(authorization?.origin).toBe(issuer);
    expect(authorization?.searchParams.get('resource')).toBe(resource);
    expect(authorization?.searchParams.get('scope')).toBe('sandbox:read sandbox:write');
    expect(authorization?.searchParams.get('code_challenge_method')).toBe('S256');
    user.refuses = ['sandbox:write'];
    await refused.finish(await browse(authorization));

    const client = clientAt(new URL(resource), provider);
    await client.connect();
    const principal = principalOf({ issuer, subject: 'Ann@example.com' });
    expect(await client.call('who')).toContain(principal);

    await expect(client.call('change')).rejects.toThrow();
    expect(visited[1]?.searchParams.get('scope')).toBe('sandbox:read sandbox:write');
    user.refuses = [];
    await client.finish(await browse(visited[1]));
    expect(await client.call('change')).toContain('changed');
    expect(decodeJwt(kept.tokens?.access_token ?? '')).toMatchObject({ iss: issuer, aud: resource });
    expect(server.logged()).not.toContain(kept.tokens?.access_token);
  },
);
