/** The environment's settings for Vercel's cloud and the proxy to it. */
import { join } from 'node:path';
import { trimTrailingSlashes } from '../shared/text/text.ts';
import { ConfigError, type Setting } from './setting.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** Vercel's own variables, and those of a corporate proxy; null if not set. */
export interface VercelSettings {
  /** Replaces the SDK's own base URL; without a trailing slash. */
  readonly apiUrl: string | null;
  readonly environment: {
    readonly oidcToken: string | null;
    readonly token: string | null;
    readonly teamId: string | null;
    readonly projectId: string | null;
    /** Where an OIDC token is read again when it expires; each null if there is none. */
    readonly tokenFile: string | null;
    readonly tokenCommand: string | null;
    readonly envFile: string | null;
  };
  readonly proxy: { readonly http: string | null; readonly https: string | null; readonly no: string | null };
}

/** Secrets come only from the environment. `apiUrl` is the flag's value, null if it was not given. */
export function vercelSettings(
  apiUrl: Setting | null,
  { env, cwd }: { env: Environment; cwd: string | null },
): VercelSettings {
  const variable = (...names: string[]): string | null => {
    for (const name of names) if (env[name] !== undefined && env[name] !== '') return env[name];
    return null;
  };
  return {
    apiUrl: apiUrl === null ? null : baseUrl(apiUrl),
    environment: {
      oidcToken: variable('VERCEL_OIDC_TOKEN'),
      token: variable('VERCEL_TOKEN'),
      teamId: variable('VERCEL_TEAM_ID'),
      projectId: variable('VERCEL_PROJECT_ID'),
      tokenFile: variable('VERCEL_OIDC_TOKEN_FILE'),
      tokenCommand: variable('VERCEL_OIDC_TOKEN_COMMAND'),
      envFile: cwd === null ? null : join(cwd, '.env.local'),
    },
    proxy: {
      http: variable('http_proxy', 'HTTP_PROXY'),
      https: variable('https_proxy', 'HTTPS_PROXY'),
      no: variable('no_proxy', 'NO_PROXY'),
    },
  };
}

/** @throws ConfigError for a URL that paths cannot be appended to */
function baseUrl(setting: Setting): string {
  const problem =
    'is not a base URL; use one such as https://proxy.example.com/vercel, without query or credentials.';
  if (!URL.canParse(setting.value)) throw new ConfigError(setting, problem);
  const url = new URL(setting.value);
  const plain = url.search === '' && url.hash === '' && url.username === '' && url.password === '';
  if (!plain || !['http:', 'https:'].includes(url.protocol)) {
    // Not the value: it may hold a password.
    throw new ConfigError({ origin: setting.origin, value: null }, problem);
  }
  return trimTrailingSlashes(url.href);
}
