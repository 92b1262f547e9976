/** What the server of a git source is to be told, and its sandbox is not. */
import { normalizeName } from './domains.ts';
import { SandboxError } from './errors.ts';
import type { SecretStore } from './secrets.ts';

const MASK = '***';
/** What most services take any token with, where no name is given. */
const ANY_USER = 'x-access-token';
/** Shorter ones are too common in ordinary text to be told from it. */
const MIN_MASKED = 4;

export interface SourceCredentials {
  /** The one that they are for. */
  readonly host: string;
  readonly username: string;
  readonly password: string;
  /** Both, as Basic authentication sends them (RFC 7617). */
  readonly encoded: string;
}

/** The parts of a source that this reads; a source of another kind has neither a name nor a password. */
interface SourceInput {
  readonly url: string;
  readonly username?: string | undefined;
  readonly password?: string | undefined;
}

/**
 * The credentials of a source, `${secret:NAME}` filled in; null where it has none.
 *
 * @throws `invalid_argument` for a server without a name; what `SecretStore.fill` throws
 */
export function sourceCredentials(source: SourceInput, secrets: SecretStore): SourceCredentials | null {
  if (source.username === undefined && source.password === undefined) return null;
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
  const username = secrets.fill(source.username ?? ANY_USER, host);
  const password = secrets.fill(source.password ?? '', host);
  return { host, username, password, encoded: Buffer.from(`${username}:${password}`).toString('base64') };
}

/** A text without the credentials, should a server have sent them back. */
export function withoutCredentials(text: string, credentials: SourceCredentials | null): string {
  if (credentials === null) return text;
  const { username, password, encoded } = credentials;
  return [encoded, encodeURIComponent(password), password, username]
    .filter((value) => value.length >= MIN_MASKED && value !== ANY_USER)
    .reduce((shown, value) => shown.replaceAll(value, MASK), text);
}
