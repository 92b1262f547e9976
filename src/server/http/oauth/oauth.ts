import type { OAuthSettings } from '../../../config/config.ts';
import type { Logger } from '../../../shared/log.ts';
import type { Authentication } from '../caller.ts';
import { type AccessTokenResult, principalOf, verifyAccessToken } from './access-token.ts';
import { type IssuerKeysOptions, issuerKeys } from './issuer-keys.ts';
import { ProtectedResource } from './protected-resource.ts';
import type { Scope } from './scopes.ts';

/** Identifies callers by access tokens of an authorization server. */
export interface OAuth {
  readonly resource: ProtectedResource;
  authenticate(token: string): Promise<Authentication>;
}

export interface OAuthOptions extends IssuerKeysOptions {
  /** The endpoint as clients know it. */
  url: string;
  /** What the first token should allow. */
  scopes: readonly Scope[];
  log: Logger;
}

export function createOAuth(settings: OAuthSettings, { url, scopes, log, ...options }: OAuthOptions): OAuth {
  const { issuer } = settings;
  const audience = settings.audience ?? url;
  const resource = new ProtectedResource({ url, identifier: audience, issuer, scopes });
  const keys = issuerKeys(settings, options);
  let logged: Error | null = null;
  return {
    resource,
    authenticate: async (token) => {
      const result = await verifyAccessToken(token, { issuer, audience, keys });
      // Anybody can send tokens: an attempt to load the keys is logged once.
      if ('unavailable' in result && result.unavailable !== logged) {
        logged = result.unavailable;
        log.warn({ err: logged }, 'no keys from the issuer');
      }
      return toAuthentication(result, resource);
    },
  };
}

function toAuthentication(result: AccessTokenResult, resource: ProtectedResource): Authentication {
  if ('grant' in result)
    return { caller: { principal: principalOf(result.grant), scopes: result.grant.scopes } };
  if ('unavailable' in result) {
    // A 401 would make the client throw a good token away.
    const message = 'The authorization server cannot be reached, so the token cannot be checked.';
    return { refused: { status: 503, message, headers: { 'retry-after': '5' } } };
  }
  const challenge = resource.challenge({ code: 'invalid_token', description: result.invalid });
  return {
    refused: { status: 401, message: result.invalid, headers: { 'www-authenticate': challenge } },
  };
}
