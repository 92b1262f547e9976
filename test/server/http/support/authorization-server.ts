import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import { errors, Provider } from 'oidc-provider';
import { onTestFinished } from 'vitest';
import { z } from 'zod';

const SCOPES = 'sandbox:read sandbox:write sandbox:cloud';

const missingSchema = z.object({
  missingOIDCScope: z.array(z.string()).optional(),
  missingResourceScopes: z.record(z.string(), z.array(z.string())).optional(),
});

/** Where the client's users return to with a code. Nothing listens there. */
export const REDIRECT_URL = 'http://127.0.0.1:9/callback';

/**
 * A real authorization server on a free port, ended with the test: registration of clients, PKCE, resource
 * indicators, JWT access tokens for `resource()`. Its only user consents to all scopes except those that it `refuses`.
 */
export async function startAuthorizationServer(
  resource: () => string,
): Promise<{ issuer: string; user: { refuses: string[] } }> {
  const user = { refuses: [] as string[] };
  const server = createServer();
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const issuer = `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  const { privateKey } = await generateKeyPair('ES256', { extractable: true });
  const key = { ...(await exportJWK(privateKey)), alg: 'ES256', use: 'sig', kid: 'first' };
  const provider = new Provider(issuer, {
    jwks: { keys: [key] },
    cookies: { keys: ['a key for cookies of this test'] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
    scopes: SCOPES.split(' '),
    pkce: { required: () => true },
    findAccount: (_context, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
    interactions: { url: (_context, { uid }) => `/interaction/${uid}` },
    features: {
      devInteractions: { enabled: false },
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_context, indicator) => {
          if (indicator !== resource()) throw new errors.InvalidTarget();
          return {
            scope: SCOPES,
            audience: indicator,
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg: 'ES256' } },
          };
        },
      },
    },
  });
  const handle = provider.callback();
  server.on('request', (request, response) => {
    if (request.url?.startsWith('/interaction/')) void consent(provider, user.refuses, request, response);
    else void handle(request, response);
  });
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  return { issuer, user };
}

/** Logs the user in, then allows the client what it asks for. */
async function consent(
  provider: Provider,
  refuses: readonly string[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { prompt, grantId, params, session } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login')
    return provider.interactionFinished(request, response, { login: { accountId: 'Ann@example.com' } });
  const known = grantId === undefined ? undefined : await provider.Grant.find(grantId);
  const clientId = String(params['client_id']);
  const grant = known ?? new provider.Grant({ accountId: session?.accountId ?? '', clientId });
  const { missingOIDCScope = [], missingResourceScopes = {} } = missingSchema.parse(prompt.details);
  grant.addOIDCScope(missingOIDCScope.join(' '));
  for (const [indicator, scopes] of Object.entries(missingResourceScopes)) {
    for (const scope of scopes) {
      if (refuses.includes(scope)) grant.rejectResourceScope(indicator, scope);
      else grant.addResourceScope(indicator, scope);
    }
  }
  const result = { consent: { grantId: await grant.save() } };
  return provider.interactionFinished(request, response, result, { mergeWithLastSubmission: true });
}

/**
 * A browser that follows redirects from the authorization request to the client's callback, which gets a code in
 * these parameters.
 */
export async function browse(authorizationUrl: URL | undefined): Promise<URLSearchParams> {
  if (authorizationUrl === undefined) throw new Error('nobody was asked');
  const cookies = new Map<string, string>();
  let url = authorizationUrl;
  for (let step = 0; step < 10; step++) {
    if (url.href.startsWith(REDIRECT_URL)) {
      if (!url.searchParams.has('code')) throw new Error(`no code: ${url.search}`);
      return url.searchParams;
    }
    const cookie = [...cookies].map((entry) => entry.join('=')).join('; ');
    const response = await fetch(url, { redirect: 'manual', headers: { cookie } });
    for (const set of response.headers.getSetCookie()) {
      const [, name = '', value = ''] = /^([^=]+)=([^;]*)/.exec(set) ?? [];
      cookies.set(name, value);
    }
    const location = response.headers.get('location');
    if (location === null) throw new Error(`${url.pathname}: ${response.status} ${await response.text()}`);
    url = new URL(location, url);
  }
  throw new Error('too many redirects');
}
