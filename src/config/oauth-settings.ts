/** The authorization server whose access tokens `--transport http` accepts. */
import { isSecureUrl } from '../shared/network/secure-url.ts';
import type { FlagName } from './flags.ts';
import { parseHttpUrl } from './http-url.ts';
import { ConfigError, type Setting } from './setting.ts';

export interface OAuthSettings {
  /** Compared with the tokens' `iss` as it is. */
  readonly issuer: string;
  /** Null: the one that the issuer's metadata names. */
  readonly jwksUrl: string | null;
  /** The tokens' audience. Null: the server's own URL. */
  readonly audience: string | null;
}

/** Null without `--oauth-issuer`. @throws ConfigError */
export function oauthSettings(given: (name: FlagName) => Setting | undefined): OAuthSettings | null {
  const issuer = given('oauth-issuer');
  const [jwksUrl, audience] = [given('oauth-jwks-url'), given('oauth-audience')];
  if (issuer === undefined) {
    const useless = jwksUrl ?? audience;
    if (useless === undefined) return null;
    throw new ConfigError(useless, 'has no effect without --oauth-issuer.');
  }
  return {
    issuer: secureUrl(issuer),
    jwksUrl: jwksUrl === undefined ? null : secureUrl(jwksUrl),
    audience: audience === undefined ? null : uri(audience),
  };
}

/** Over plain HTTP anybody on the way could replace the keys. */
function secureUrl(setting: Setting): string {
  const url = parseHttpUrl(setting.value);
  if (url !== null && url.hash === '' && isSecureUrl(url)) return setting.value;
  throw new ConfigError(setting, 'is not an https URL; use one such as https://login.example.');
}

function uri(setting: Setting): string {
  if (/^[\w.~:/?@!$&'()*+,;=%[\]-]{1,2048}$/.test(setting.value)) return setting.value;
  throw new ConfigError(
    setting,
    'is not a resource identifier; use one such as https://sandbox.example/mcp.',
  );
}
