/** The environment's settings for Vercel's cloud and the proxy to it. */
import { join } from 'node:path';
import { trimTrailingSlashes } from '../shared/text/text.ts';
import { ConfigError, type Setting } from './setting.ts';

type Environment = Readonly<Record<string, string | undefined>>;

/** The values of Vercel's environment variables; null if a variable is not set. */
export interface VercelEnvironment {
  /** `VERCEL_OIDC_TOKEN` */
  readonly oidcToken: string | null;
  /** `VERCEL_TOKEN` */
  readonly token: string | null;
  /** `VERCEL_TEAM_ID` */
  readonly teamId: string | null;
  /** `VERCEL_PROJECT_ID` */
  readonly projectId: string | null;
  /** `VERCEL_OIDC_TOKEN_FILE`: a file that holds the token, or a line `VERCEL_OIDC_TOKEN=…`. */
  readonly tokenFile: string | null;
  /** `VERCEL_OIDC_TOKEN_COMMAND`: a command line that prints the same. */
  readonly tokenCommand: string | null;
  /**
   * The `.env.local` of the server's working directory, which `vercel env pull` rewrites; null without such a
   * directory.
   */
  readonly envFile: string | null;
}

/** `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` from the environment; null if not set. */
export interface ProxySettings {
  readonly http: string | null;
  readonly https: string | null;
  readonly no: string | null;
}

/** Vercel's own variables, and those of a corporate proxy. */
export interface VercelSettings {
  /** Replaces the SDK's own base URL; without a trailing slash. */
  readonly apiUrl: string | null;
  readonly environment: VercelEnvironment;
  readonly proxy: ProxySettings;
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
