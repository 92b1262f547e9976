import type { Scope } from './scopes.ts';

const WELL_KNOWN = '/.well-known/oauth-protected-resource';

export interface ProtectedResourceOptions {
  /** The endpoint as clients know it. */
  url: string;
  /** The audience of its tokens. */
  identifier: string;
  issuer: string;
  /** What the first token should allow. */
  scopes: readonly Scope[];
}

/** This server as an OAuth protected resource (RFC 9728). */
export class ProtectedResource {
  /** Where its metadata is published. */
  readonly #metadataUrl: string;
  readonly #paths: readonly string[];
  readonly metadata: Readonly<Record<string, unknown>>;

  readonly #scopes: readonly Scope[];

  constructor({ url, identifier, issuer, scopes }: ProtectedResourceOptions) {
    this.#scopes = scopes;
    const { origin, pathname } = new URL(url);
    this.#metadataUrl = `${origin}${WELL_KNOWN}${pathname}`;
    // The second is for a reverse proxy that removes a prefix, the last for clients that know no paths.
    this.#paths = [`${WELL_KNOWN}${pathname}`, `${WELL_KNOWN}/mcp`, WELL_KNOWN];
    this.metadata = {
      resource: identifier,
      authorization_servers: [issuer],
      scopes_supported: scopes,
      bearer_methods_supported: ['header'],
      resource_name: 'sandbox-mcp',
    };
  }

  isMetadataPath(path: string): boolean {
    return this.#paths.includes(path);
  }

  /** The value of `WWW-Authenticate` (RFC 6750 section 3), which leads to the metadata. */
  challenge(error?: { code: string; description: string }, scopes = this.#scopes): string {
    const parameters = {
      ...(error && { error: error.code, error_description: error.description }),
      scope: scopes.join(' '),
      resource_metadata: this.#metadataUrl,
    };
    const written = Object.entries(parameters).map(([name, value]) => `${name}="${value}"`);
    return `Bearer ${written.join(', ')}`;
  }
}
