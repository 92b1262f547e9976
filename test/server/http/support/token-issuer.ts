import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import { type CryptoKey, exportJWK, generateKeyPair, SignJWT } from 'jose';
import { onTestFinished } from 'vitest';

export interface TokenIssuer {
  readonly url: string;
  /** `slow`: requests are accepted and never answered. */
  mode: 'up' | 'down' | 'slow' | 'garbage';
  /** What its metadata names. The default: its own keys. */
  keySetUrl: string | null;
  /** How often the keys were asked for. */
  readonly keyRequests: number;
  /** How often anything was asked for. */
  readonly requests: number;
  /** The key set as it is published. */
  keySet(): object;
  /** Replaces the signing key. */
  rotate(): Promise<void>;
  /** A token valid for an hour, with these claims besides or instead (`undefined` removes one). */
  sign(claims?: Record<string, unknown>): Promise<string>;
}

/** An issuer that misbehaves on demand: metadata, keys, and tokens with any claims. Ended with the test. */
export async function startTokenIssuer(audience: () => string): Promise<TokenIssuer> {
  let signing: { key: CryptoKey; kid: string; published: object };
  let rotations = 0;
  let keyRequests = 0;
  let requests = 0;
  const rotate = async (): Promise<void> => {
    const { privateKey, publicKey } = await generateKeyPair('ES256');
    rotations += 1;
    const kid = `key-${rotations}`;
    signing = { key: privateKey, kid, published: { ...(await exportJWK(publicKey)), kid, alg: 'ES256' } };
  };
  await rotate();
  const server = createServer((request, response) => {
    requests += 1;
    if (request.url === '/keys') keyRequests += 1;
    if (issuer.mode === 'slow') return;
    if (issuer.mode === 'down') return void response.writeHead(500).end();
    if (issuer.mode === 'garbage') return void response.end('{"keys": ');
    if (request.url === '/keys') return answer(response, issuer.keySet());
    if (request.url === '/.well-known/oauth-authorization-server')
      return answer(response, { issuer: issuer.url, jwks_uri: issuer.keySetUrl ?? `${issuer.url}/keys` });
    response.writeHead(404).end();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, 'close');
  });
  const address = server.address();
  const issuer: TokenIssuer = {
    url: `http://127.0.0.1:${typeof address === 'object' ? address?.port : ''}`,
    mode: 'up',
    keySetUrl: null,
    keySet: () => ({ keys: [signing.published] }),
    get requests() {
      return requests;
    },
    get keyRequests() {
      return keyRequests;
    },
    rotate,
    sign: async (claims: Record<string, unknown> = {}) => {
      const now = Math.floor(Date.now() / 1000);
      const usual = {
        iss: issuer.url,
        sub: 'ann',
        aud: audience(),
        exp: now + 3_600,
        scope: 'sandbox:write',
      };
      const payload = Object.fromEntries(
        Object.entries({ ...usual, ...claims }).filter(([, value]) => value !== undefined),
      );
      return new SignJWT(payload).setProtectedHeader({ alg: 'ES256', kid: signing.kid }).sign(signing.key);
    },
  };
  return issuer;
}

function answer(response: ServerResponse, body: object): void {
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(body));
}
