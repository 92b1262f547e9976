import { createRemoteJWKSet, type JWTVerifyGetKey, type RemoteJWKSet } from 'jose';
import { z } from 'zod';
import type { OAuthSettings } from '../../../config/config.ts';
import { isSecureUrl } from '../../../shared/network/secure-url.ts';

/** The longest that a request waits for the metadata, and then for the keys. */
const FETCH_MS = 5_000;
/** After a key set was loaded, an unknown key does not load it again for this long. */
const COOLDOWN_MS = 30_000;
/** While there are no keys, the issuer is not asked again for this long after a failure. */
const RETRY_MS = 2_000;
/** A key that the issuer withdrew is trusted for this long at most. */
const KEYS_MAX_AGE_MS = 600_000;

const ABOUT_TOKEN = ['ERR_JWKS_NO_MATCHING_KEY', 'ERR_JWKS_MULTIPLE_MATCHING_KEYS', 'ERR_JOSE_NOT_SUPPORTED'];

const metadataSchema = z.looseObject({ issuer: z.string(), jwks_uri: z.url() });

export interface IssuerKeysOptions {
  fetchMs?: number;
  cooldownMs?: number;
  retryMs?: number;
}

/** The authorization server cannot be reached, or what it answers is unusable. */
export class IssuerUnavailableError extends Error {
  override readonly name = 'IssuerUnavailableError';
}

/**
 * Finds the key of a token. Metadata and keys are loaded when first needed, and the keys again when a token
 * names an unknown one, which is how a rotation shows. Anybody can send tokens, so that a failure to load any
 * keys is remembered for a while.
 *
 * @returns a function that throws `IssuerUnavailableError`, the same one until it tries again, or an error of
 *   jose if no key fits
 */
export function issuerKeys(settings: OAuthSettings, options: IssuerKeysOptions = {}): JWTVerifyGetKey {
  const { fetchMs = FETCH_MS, cooldownMs = COOLDOWN_MS, retryMs = RETRY_MS } = options;
  let loading: Promise<RemoteJWKSet> | null = null;
  let failure: { error: unknown; until: number } | null = null;
  const load = async (): Promise<RemoteJWKSet> => {
    const url = settings.jwksUrl ?? (await discoverKeySet(settings.issuer, fetchMs));
    return createRemoteJWKSet(new URL(url), {
      timeoutDuration: fetchMs,
      cooldownDuration: cooldownMs,
      cacheMaxAge: KEYS_MAX_AGE_MS,
    });
  };
  const throwRecent = (): void => {
    if (failure !== null && performance.now() < failure.until) throw failure.error;
  };
  const fail = (error: unknown): never => {
    // Several tokens may have waited for the same attempt.
    throwRecent();
    failure = { error, until: performance.now() + retryMs };
    throw error;
  };
  return async (header, token) => {
    throwRecent();
    loading ??= load().catch((error: unknown) => {
      loading = null;
      return fail(error);
    });
    const keys = await loading;
    try {
      return await keys(header, token);
    } catch (error) {
      if (isAboutToken(error)) throw error;
      const unavailable = new IssuerUnavailableError('No keys.', { cause: error });
      // With fresh keys only this token, which names an unknown one, cannot be checked.
      if (keys.fresh) throw unavailable;
      return fail(unavailable);
    }
  };
}

/** The URL of the key set in the issuer's metadata: RFC 8414, else OpenID Connect Discovery. */
async function discoverKeySet(issuer: string, fetchMs: number): Promise<string> {
  const signal = AbortSignal.timeout(fetchMs);
  const failures: unknown[] = [];
  for (const url of metadataUrls(issuer)) {
    try {
      const metadata = metadataSchema.parse(await fetchJson(url, signal));
      // Otherwise one issuer could speak for another (RFC 8414 section 3.3).
      if (metadata.issuer !== issuer) throw new Error(`${url} is the metadata of another issuer.`);
      const keySet = new URL(metadata.jwks_uri);
      if (isSecureUrl(keySet)) return keySet.href;
      throw new Error(`${url} has no https URL of a key set.`);
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

async function fetchJson(url: string, signal: AbortSignal): Promise<unknown> {
  const headers = { accept: 'application/json' };
  const response = await fetch(url, { headers, redirect: 'manual', signal });
  if (response.status !== 200) throw new Error(`${url} answered ${response.status}.`);
  return response.json();
}

/** Whether the keys were loaded, and none of them fits. */
function isAboutToken(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : null;
  return ABOUT_TOKEN.includes(String(code));
}
