/** Credentials for the server of a git source, which its sandbox must not see. */
import { normalizeName } from './domains.ts';
import { SandboxError } from './errors.ts';
import type { SecretStore } from './secrets.ts';

const MASK = '***';
/** The user name that most services accept with any token, used if none is given. */
const ANY_USER = 'x-access-token';
/** Shorter values are too common in ordinary text to be masked. */
const MIN_MASKED = 4;

export interface SourceCredentials {
  /** The server that they are for. */
  readonly host: string;
  readonly username: string;
  readonly password: string;
  /** User name and password as a Basic authentication header (RFC 7617). */
  readonly encoded: string;
}

/** The parts of a source that are read here; a source of another kind has no user name or password. */
interface SourceInput {
  readonly url: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/**
 * The credentials of a source, with `${secret:NAME}` filled in; null if it has none.
 *
 * @throws `invalid_argument` for a URL without a host name; what `SecretStore.fill` throws
 */
export function sourceCredentials(source: SourceInput, secrets: SecretStore): SourceCredentials | null {
  if (source.username === undefined && source.password === undefined) return null;
  const { hostname } = new URL(source.url);
  const host = normalizeName(hostname);
  if (host === null) {
    throw new SandboxError(
      'invalid_argument',
      `Credentials cannot be sent to ${hostname}: it is not a host name.`,
      {
        hint: 'Use a host name instead of an address in source.url.',
        details: { url: source.url },
      },
    );
  }
  const username = secrets.fill(source.username ?? ANY_USER, host);
  const password = secrets.fill(source.password ?? '', host);
  return { host, username, password, encoded: Buffer.from(`${username}:${password}`).toString('base64') };
}

/** Masks the credentials in a text, in case a server echoes them. */
export function withoutCredentials(text: string, credentials: SourceCredentials | null): string {
  if (credentials === null) return text;
  const { username, password, encoded } = credentials;
  return [encoded, encodeURIComponent(password), password, username]
    .filter((value) => value.length >= MIN_MASKED && value !== ANY_USER)
    .reduce((shown, value) => shown.replaceAll(value, MASK), text);
}
