/** Both ends of a terminated connection: what the sandbox's programs trust, and what the gateway trusts. */
import { createSecureContext, rootCertificates, type SecureContext } from 'node:tls';

export interface TlsKeyProvider {
  /** The certificate and key for a host (normalized), issued by the sandbox's own authority. */
  contextFor(host: string): Promise<SecureContext>;
  /** What servers' certificates are verified by. */
  upstream(): SecureContext;
}

/**
 * A context that trusts these authorities, PEM, made when it is first asked for. What the system trusts counts alone where
 * it is known, since sandboxes trust the same; else Node's own list.
 */
export function createTrustContext(system: string, extra: string): () => SecureContext {
  let made: SecureContext | null = null;
  return () => {
    const authorities = system === '' ? [...rootCertificates] : [system];
    made ??= createSecureContext({ ca: extra === '' ? authorities : [...authorities, extra] });
    return made;
  };
}
