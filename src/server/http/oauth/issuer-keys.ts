import { createRemoteJWKSet, type JWTVerifyGetKey } from 'jose';
import { z } from 'zod';
import type { OAuthSettings } from '../../../config/config.ts';

/** The longest that a request waits for the authorization server. */
const FETCH_MS = 5_000;
/** After a key set was loaded, an unknown key does not load it again for this long. */
const COOLDOWN_MS = 30_000;
/** A key that the issuer withdrew is trusted for this long at most. */
const KEYS_MAX_AGE_MS = 600_000;

const ABOUT_TOKEN = ['ERR_JWKS_NO_MATCHING_KEY', 'ERR_JWKS_MULTIPLE_MATCHING_KEYS', 'ERR_JOSE_NOT_SUPPORTED'];

const metadataSchema = z.looseObject({ issuer: z.string(), jwks_uri: z.url() });

export interface IssuerKeysOptions {
  fetchMs?: number;
  cooldownMs?: number;
}

/** The authorization server cannot be reached, or what it answers is unusable. */
export class IssuerUnavailableError extends Error {
  override readonly name = 'IssuerUnavailableError';
}

/**
 * Finds the key of a token. Metadata and keys are loaded when first needed, and the keys again when a token
 * names an unknown one, which is how a rotation shows.
 *
 * @returns a function that throws `IssuerUnavailableError`, or an error of jose if no key fits
 */
export function issuerKeys(settings: OAuthSettings, options: IssuerKeysOptions = {}): JWTVerifyGetKey {
  const { fetchMs = FETCH_MS, cooldownMs = COOLDOWN_MS } = options;
  let loading: Promise<JWTVerifyGetKey> | null = null;
  const load = async (): Promise<JWTVerifyGetKey> => {
    const url = settings.jwksUrl ?? (await discoverKeySet(settings.issuer, fetchMs));
    return createRemoteJWKSet(new URL(url), {
      timeoutDuration: fetchMs,
      cooldownDuration: cooldownMs,
      cacheMaxAge: KEYS_MAX_AGE_MS,
    });
  };
  return async (header, token) => {
    loading ??= load();
    let keys: JWTVerifyGetKey;
    try {
      keys = await loading;
    } catch (error) {
      loading = null;
      throw error;
    }
    try {
      return await keys(header, token);
    } catch (error) {
      throw isAboutToken(error) ? error : new IssuerUnavailableError('No keys.', { cause: error });
    }
  };
}

/** The URL of the key set in the issuer's metadata: RFC 8414, else OpenID Connect Discovery. */
async function discoverKeySet(issuer: string, fetchMs: number): Promise<string> {
  const failures: unknown[] = [];
  for (const url of metadataUrls(issuer)) {
    try {
      const metadata = metadataSchema.parse(await fetchJson(url, fetchMs));
      // Otherwise one issuer could speak for another (RFC 8414 section 3.3).
      if (metadata.issuer === issuer) return metadata.jwks_uri;
      failures.push(new Error(`${url} is the metadata of another issuer.`));
    } catch (error) {
      failures.push(error);
    }
  }
  throw new IssuerUnavailableError('No metadata.', { cause: new AggregateError(failures) });
}

function metadataUrls(issuer: string): string[] {
  const { origin, pathname } = new URL(issuer);
  const path = pathname.replace(/\/$/, '');
  return [
    `${origin}/.well-known/oauth-authorization-server${path}`,
    `${origin}/.well-known/openid-configuration${path}`,
    `${origin}${path}/.well-known/openid-configuration`,
  ];
}

async function fetchJson(url: string, fetchMs: number): Promise<unknown> {
  const response = await fetch(url, {
    headers: { accept: 'application/json' },
    redirect: 'manual',
    signal: AbortSignal.timeout(fetchMs),
  });
  if (response.status !== 200) throw new Error(`${url} answered ${response.status}.`);
  return response.json();
}

/** Whether the keys were loaded, and none of them fits. */
function isAboutToken(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  return ABOUT_TOKEN.includes(String(code));
}
