/** What a source's server is to be told and the sandbox is not. */
import type { CredentialRule } from '../../../egress/header-rules.ts';
import { normalizeName } from '../../../shared/domains.ts';
import { SandboxError } from '../../../shared/errors.ts';
import type { SecretStore } from '../../../shared/secrets.ts';
import type { FetchedSource } from './fill.ts';

const MASK = '***';
/** What most services take any token with, where no name is given. */
const ANY_USER = 'x-access-token';
/** Shorter ones are too common in ordinary text to be told from it. */
const MIN_MASKED = 4;

export interface SourceCredentials {
  /** What the gateway adds to requests to that one host. */
  readonly rule: CredentialRule;
  /** A text without them, should the server have sent them back. */
  mask(text: string): string;
}

/**
 * The credentials of a source, `${secret:NAME}` filled in; null where it has none.
 *
 * @throws `invalid_argument` for a server without a name; what `SecretStore.fill` throws
 */
export function sourceCredentials(source: FetchedSource, secrets: SecretStore): SourceCredentials | null {
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
  const username = secrets.fill(source.username ?? ANY_USER, host);
  const password = secrets.fill(source.password ?? '', host);
  const encoded = Buffer.from(`${username}:${password}`).toString('base64');
  const masked = [encoded, password, username].filter(
    (value) => value.length >= MIN_MASKED && value !== ANY_USER,
  );
  return {
    rule: { domain: host, headers: { authorization: `Basic ${encoded}` } },
    mask: (text) => masked.reduce((shown, value) => shown.replaceAll(value, MASK), text),
  };
}
