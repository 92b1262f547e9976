/** The whole way from an unauthorized client to a tool call, with a real authorization server. */
import type { OAuthClientProvider } from '@modelcontextprotocol/sdk/client/auth.js';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { decodeJwt } from 'jose';
import { expect, it, onTestFinished } from 'vitest';
import { principalOf } from '../../../src/server/http/oauth/access-token.ts';
import { textOf, toolOf } from '../support/connected-server.ts';
import { browse, REDIRECT_URL, startAuthorizationServer } from './support/authorization-server.ts';
import { startHttp } from './support/http-server.ts';

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

it('a client discovers, registers, asks the user, calls, and asks again when a tool needs more', async () => {
  let resource = '';
  const { issuer, user } = await startAuthorizationServer(() => resource);
  const server = await startHttp({ flags: { 'oauth-issuer': issuer }, tools: [who, change] });
  resource = `${server.url}/mcp`;
  const { provider, visited, kept } = clientProvider();
  const connect = async (): Promise<[Client, StreamableHTTPClientTransport]> => {
    const client = new Client({ name: 'test', version: '1' });
    const transport = new StreamableHTTPClientTransport(new URL(resource), { authProvider: provider });
    onTestFinished(() => client.close());
    return [client, transport];
  };
  const [first, refused] = await connect();
  await expect(first.connect(refused)).rejects.toThrow('Unauthorized');
  const [authorization] = visited;
  expect(authorization?.origin).toBe(issuer);
  expect(authorization?.searchParams.get('resource')).toBe(resource);
  expect(authorization?.searchParams.get('scope')).toBe('sandbox:read sandbox:write');
  expect(authorization?.searchParams.get('code_challenge_method')).toBe('S256');
  user.refuses = ['sandbox:write'];
  await refused.finishAuth(await browse(authorization ?? new URL(issuer)));

  const [client, transport] = await connect();
  await client.connect(transport);
  const principal = principalOf({ issuer, subject: 'Ann@example.com' });
  expect(textOf(await client.callTool({ name: 'who' }))).toContain(principal);

  await expect(client.callTool({ name: 'change' })).rejects.toThrow();
  expect(visited[1]?.searchParams.get('scope')).toBe('sandbox:read sandbox:write');
  user.refuses = [];
  await transport.finishAuth(await browse(visited[1] ?? new URL(issuer)));
  expect(textOf(await client.callTool({ name: 'change' }))).toContain('changed');
  expect(decodeJwt(kept.tokens?.access_token ?? '')).toMatchObject({ iss: issuer, aud: resource });
  expect(server.logged()).not.toContain(kept.tokens?.access_token);
});
