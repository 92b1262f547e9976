/** Both ends of a terminated connection: what the sandbox's programs trust, and what the gateway trusts. */
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';

export interface TlsKeyProvider {
  /** The certificate and key for a host (normalized), issued by the sandbox's own authority. */
  contextFor(host: string): Promise<SecureContext>;
  /** The context that verifies servers' certificates. */
  upstream(): SecureContext;
}

/**
 * A TLS context that trusts these authorities (PEM), created on first use. If the system's trust store is
 * known, only that one counts, since sandboxes trust the same; else Node's own list.
 */
export function createTrustContext(system: string, extra: string): () => SecureContext {
  let made: SecureContext | null = null;
  return () => {
    const authorities = system === '' ? [...rootCertificates] : [system];
    made ??= createSecureContext({ ca: extra === '' ? authorities : [...authorities, extra] });
    return made;
  };
}
