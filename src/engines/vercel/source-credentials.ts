/** What a source's server is to be told: by Vercel's service, never by the sandbox. */
import { normalizeName } from '../../shared/domains.ts';
import { SandboxError } from '../../shared/errors.ts';
import type { SecretStore } from '../../shared/secrets.ts';
import type { SandboxSource } from '../engine.ts';

const MASK = '***';
/** What most services take any token with, where no name is given. */
const ANY_USER = 'x-access-token';
/** Shorter ones are too common in ordinary text to be told from it. */
const MIN_MASKED = 4;

export interface SourceCredentials {
  readonly username: string;
  readonly password: string;
}

/**
 * The credentials of a source, `${secret:NAME}` filled in; null where it has none.
 *
 * @throws `invalid_argument` for a server without a name; what `SecretStore.fill` throws
 */
export function sourceCredentials(source: SandboxSource, secrets: SecretStore): SourceCredentials | null {
  if (source.type !== 'git' || (source.username === undefined && source.password === undefined)) return null;
  const { hostname } = new URL(source.url);
  const host = normalizeName(hostname);
  if (host === null) {
    throw new SandboxError(
      'invalid_argument',
      `Credentials cannot be sent to ${hostname}: it is no host name.`,
      {
        hint: 'Give the address of the repository by its name in source.url.',
        details: { url: source.url },
      },
    );
  }
  return {
    username: secrets.fill(source.username ?? ANY_USER, host),
    password: secrets.fill(source.password ?? '', host),
  };
}

/** A text without the credentials, should a server have sent them back. */
export function withoutCredentials(text: string, credentials: SourceCredentials | null): string {
  if (credentials === null) return text;
  const { username, password } = credentials;
  const encoded = Buffer.from(`${username}:${password}`).toString('base64');
  return [encoded, encodeURIComponent(password), password, username]
    .filter((value) => value.length >= MIN_MASKED && value !== ANY_USER)
    .reduce((shown, value) => shown.replaceAll(value, MASK), text);
}
