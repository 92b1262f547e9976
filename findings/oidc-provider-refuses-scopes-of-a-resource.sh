#!/usr/bin/env bash
# `oidc-provider` keeps the scopes of a protected resource where they belong, with the resource (`getResourceServerInfo`), and grants them on request.
# Clients of both MCP SDKs also register with the scopes that the MCP server's metadata names, and registration accepts only what stands in the
# provider's own `scopes`: it refuses the client before anybody has logged in. Leaving `scopes_supported` out of the metadata lets the client register,
# but then it asks for no scope at all. What works is to list each scope twice, with the resource and in `scopes`. An operator who puts such a server
# behind this provider needs to be told, since each side on its own is set up as its manual says.
#
# Seen with: oidc-provider 9.13.3; @modelcontextprotocol/sdk 1.32.2 and @modelcontextprotocol/client 2.4.0 as clients.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes >/dev/null
npm install --silent --no-audit --no-fund --ignore-scripts \
  oidc-provider@9.13.3 @modelcontextprotocol/sdk@1.32.2 @modelcontextprotocol/client@2.4.0 2>/dev/null

cat >register.mjs <<'JS'
import { once } from 'node:events';
import { createServer } from 'node:http';
import { auth as auth2 } from '@modelcontextprotocol/client';
import { auth as auth1 } from '@modelcontextprotocol/sdk/client/auth.js';
import Provider from 'oidc-provider';

// An authorization server and the metadata of a protected resource `/mcp`, at one address.
async function start({ announced, listed }) {
  const http = createServer();
  await once(http.listen(0, '127.0.0.1'), 'listening');
  const origin = `http://127.0.0.1:${http.address().port}`;
  const provider = new Provider(origin, {
    ...(listed && { scopes: ['openid', 'offline_access', 'sandbox:run'] }),
    features: {
      registration: { enabled: true },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: () => ({ scope: 'sandbox:run', accessTokenFormat: 'jwt' }),
      },
    },
  }).callback();
  const metadata = {
    resource: `${origin}/mcp`,
    authorization_servers: [origin],
    ...(announced && { scopes_supported: ['sandbox:run'] }),
  };
  http.on('request', (request, response) => {
    if (!request.url.startsWith('/.well-known/oauth-protected-resource')) return provider(request, response);
    return response.setHeader('content-type', 'application/json').end(JSON.stringify(metadata));
  });
  return { http, origin };
}

// Goes as far as the page where somebody would log in.
async function login(auth, origin) {
  let registered;
  let asked;
  const redirectUrl = 'http://127.0.0.1:8080/callback';
  const client = {
    redirectUrl,
    clientMetadata: { client_name: 'reader', redirect_uris: [redirectUrl], token_endpoint_auth_method: 'none' },
    clientInformation: () => registered,
    saveClientInformation: (information) => {
      registered = information;
    },
    tokens: () => undefined,
    saveTokens: () => {},
    saveCodeVerifier: () => {},
    codeVerifier: () => '',
    redirectToAuthorization: (url) => {
      asked = url.searchParams.get('scope') ?? 'no scope';
    },
  };
  try {
    await auth(client, { serverUrl: `${origin}/mcp` });
    return `asks for ${asked}`;
  } catch (error) {
    return /scope must only contain/.test(error.message) ? 'refused for its scope' : error.message;
  }
}

for (const [title, setting] of [
  ['scope of the resource', { announced: true, listed: false }],
  ['the same, not announced', { announced: false, listed: false }],
  ['scope of the resource and of the provider', { announced: true, listed: true }],
]) {
  const { http, origin } = await start(setting);
  console.log(`${title}: client 1 ${await login(auth1, origin)}, client 2 ${await login(auth2, origin)}`);
  http.close();
  http.closeAllConnections();
}
JS

seen=$(timeout 60 node register.mjs 2>/dev/null | grep client)
echo "$seen"
expected='scope of the resource: client 1 refused for its scope, client 2 refused for its scope
the same, not announced: client 1 asks for no scope, client 2 asks for no scope
scope of the resource and of the provider: client 1 asks for sandbox:run, client 2 asks for sandbox:run'
[ "$seen" = "$expected" ] || { echo "changed; before it was: $expected" >&2; exit 1; }
