/** Answers a registry's challenge: basic credentials, or a bearer token from its token service. */
import { z } from 'zod';
import { type Challenge, parseChallenge } from './challenge.ts';
import type { Credentials } from './credentials.ts';
import { type Answer, type RegistryHttp, readBody } from './http.ts';
import { refusedWith, TransientError, untrustworthy } from './registry-errors.ts';

const MAX_TOKEN_BYTES = 1_048_576;
const CLIENT = 'sandbox-mcp';

const tokenSchema = z.object({ token: z.string().optional(), access_token: z.string().optional() });

const basic = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}`;

/** What a token is requested for. */
export interface TokenRequest {
  registry: string;
  repository: string;
  /** For messages. */
  what: string;
  credentials: Credentials | null;
  /** Whether the registry itself is reached over TLS; if so, its token service must be as well. */
  secure: boolean;
}

/** The value of `Authorization` for an answer of 401; null if there is nothing to answer with. */
export async function authorize(
  http: RegistryHttp,
  { headers }: Answer,
  request: TokenRequest,
  signal: AbortSignal,
): Promise<string | null> {
  const challenge = parseChallenge(headers['www-authenticate']);
  const { credentials } = request;
  if (challenge === null) return null;
  if (challenge.scheme === 'basic') {
    return credentials?.kind === 'basic' ? basic(credentials.username, credentials.password) : null;
  }
  return `Bearer ${await fetchToken(http, challenge, request, signal)}`;
}

async function fetchToken(
  http: RegistryHttp,
  { parameters }: Challenge,
  request: TokenRequest,
  signal: AbortSignal,
): Promise<string> {
  const { registry, repository, what, credentials, secure } = request;
  const realm = parameters.get('realm') ?? '';
  const url = URL.canParse(realm) ? new URL(realm) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || (secure && url.protocol !== 'https:')) {
    throw untrustworthy(what, `${registry} does not name a usable token service`);
  }
  const scope = parameters.get('scope') ?? `repository:${repository}:pull`;
  const service = parameters.get('service');
  const answer =
    credentials?.kind === 'identity'
      ? await http.send(refreshRequest(url, credentials.token, service, scope), signal)
      : await http.send(plainRequest(url, credentials, service, scope), signal);
  const body = await readBody(answer, MAX_TOKEN_BYTES, signal);
  if (answer.statusCode >= 500) throw new TransientError(`${url.host} answers HTTP ${answer.statusCode}`);
  if (answer.statusCode >= 400) throw refusedWith(answer.statusCode, what, registry);
  const token = parseToken(body);
  if (token === null) throw untrustworthy(what, `${url.host} answers without a token`);
  return token;
}

/** Docker's token specification: GET, with basic credentials if there are any. */
function plainRequest(
  realm: URL,
  credentials: { username: string; password: string } | null,
  service: string | undefined,
  scope: string,
) {
  const url = new URL(realm);
  if (service !== undefined) url.searchParams.set('service', service);
  url.searchParams.set('scope', scope);
  if (credentials === null) return { url };
  return { url, headers: { authorization: basic(credentials.username, credentials.password) } };
}

/** Docker's OAuth 2.0 variant: an identity token is a refresh token. */
function refreshRequest(url: URL, token: string, service: string | undefined, scope: string) {
  const form = new URLSearchParams({
    grant_type: 'refresh_token',
    refresh_token: token,
    client_id: CLIENT,
    scope,
  });
  if (service !== undefined) form.set('service', service);
  const headers = { 'content-type': 'application/x-www-form-urlencoded' };
  return { url, method: 'POST' as const, headers, body: form.toString() };
}

function parseToken(body: Buffer): string | null {
  try {
    const { token, access_token } = tokenSchema.parse(JSON.parse(body.toString('utf8')));
    const found = token || access_token || '';
    // It becomes a header.
    return /^[\x21-\x7e]+$/.test(found) ? found : null;
  } catch {
    return null;
  }
}
