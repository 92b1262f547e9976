/** The certificate authority of one sandbox: its programs trust it, and only the gateway can use it. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';

/**
 * As stored between server runs, PEM. The key is the host's secret: nothing inside the sandbox may read it.
 */
export interface StoredAuthority {
  readonly certificate: string;
  readonly key: string;
}

/** The same for all authorities, so that the files by which programs find it can be prepared in advance. */
const AUTHORITY_NAME = 'sandbox-mcp gateway authority';
/** The hash by which OpenSSL finds an authority of this name (`openssl x509 -subject_hash`). */
export const AUTHORITY_HASH = 'b1639d82';

const DAY_MS = 86_400_000;
/** Longer than any sandbox's lifetime. */
const AUTHORITY_DAYS = 400;
const LEAF_DAYS = 30;
/** A leaf is reissued this long before it expires, so that no connection begins with one about to expire. */
const RENEW_MS = DAY_MS;
/** A wildcard rule matches any number of names. */
const MAX_CONTEXTS = 256;

interface Issued {
  readonly context: SecureContext;
  /** Epoch ms. */
  readonly until: number;
}

function keyPair(): { privateKey: KeyObject; publicKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

/** Creates an authority, for one sandbox only. */
export async function createAuthority(): Promise<StoredAuthority> {
  const { issueCertificate } = await import('./x509.ts');
  const keys = keyPair();
  const now = Date.now();
  const certificate = issueCertificate({
    subject: AUTHORITY_NAME,
    publicKey: keys.publicKey,
    issuer: AUTHORITY_NAME,
    issuerKey: keys,
    notBefore: new Date(now - DAY_MS),
    notAfter: new Date(now + AUTHORITY_DAYS * DAY_MS),
    host: null,
  });
  return { certificate, key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() };
}

/** Delay after one is taken until the next is made: its new owner is busy until then. */
const AHEAD_MS = 500;

/** Makes authorities ahead of time, so that callers seldom wait. Each is given out once. */
export class AuthorityPool {
  #next: Promise<StoredAuthority> | null = null;

  take(): Promise<StoredAuthority> {
    const taken = this.#next ?? createAuthority();
    this.#next = null;
    setTimeout(() => this.#prepare(), AHEAD_MS).unref();
    return taken;
  }

  #prepare(): void {
    if (this.#next !== null) return;
    const next = createAuthority();
    this.#next = next;
    // The next caller makes another, and gets the error.
    next.catch(() => {
      if (this.#next === next) this.#next = null;
    });
  }
}

/** Issues certificates to the gateway, one per name, cached while they are valid. */
export class CertificateAuthority {
  readonly #issuerKey: { privateKey: KeyObject; publicKey: KeyObject };
  readonly #leafKey = keyPair();
  /** The most recently used is last. */
  readonly #issued = new Map<string, Issued>();

  /** @throws if the stored key is invalid */
  constructor(stored: StoredAuthority) {
    const privateKey = createPrivateKey(stored.key);
    this.#issuerKey = { privateKey, publicKey: createPublicKey(privateKey) };
  }

  /** The TLS server context for this host (normalized). */
  async contextFor(host: string): Promise<SecureContext> {
    const kept = this.#issued.get(host);
    const issued = kept !== undefined && kept.until > Date.now() ? kept : await this.#issue(host);
    this.#issued.delete(host);
    this.#issued.set(host, issued);
    for (const oldest of this.#issued.keys()) {
      if (this.#issued.size <= MAX_CONTEXTS) break;
      this.#issued.delete(oldest);
    }
    return issued.context;
  }

  async #issue(host: string): Promise<Issued> {
    const { issueCertificate } = await import('./x509.ts');
    const now = Date.now();
    const notAfter = now + LEAF_DAYS * DAY_MS;
    const cert = issueCertificate({
      subject: 'sandbox-mcp gateway',
      publicKey: this.#leafKey.publicKey,
      issuer: AUTHORITY_NAME,
      issuerKey: this.#issuerKey,
      notBefore: new Date(now - DAY_MS),
      notAfter: new Date(notAfter),
      host,
    });
    const key = this.#leafKey.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
    return { context: createSecureContext({ key, cert, minVersion: 'TLSv1.2' }), until: notAfter - RENEW_MS };
  }
}
