/** The certificate authority of one sandbox: its programs trust it, and the gateway alone can use it. */
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createSecureContext, type SecureContext } from 'node:tls';

/** As it is kept between servers, PEM. The key is the sandbox's secret of the host: nobody inside may read it. */
export interface StoredAuthority {
  readonly certificate: string;
  readonly key: string;
}

/** The same for all, so that what programs find it by can be laid out before there is one. */
const AUTHORITY_NAME = 'sandbox-mcp gateway authority';
/** What OpenSSL finds an authority of this name by (`openssl x509 -subject_hash`). */
export const AUTHORITY_HASH = 'b1639d82';

const DAY_MS = 86_400_000;
/** Longer than any sandbox lives. */
const AUTHORITY_DAYS = 400;
const LEAF_DAYS = 30;
/** A leaf is issued anew this long before it ends, so that no connection begins with one about to. */
const RENEW_MS = DAY_MS;
/** A wildcard rule stands for as many names as a program cares to think of. */
const MAX_CONTEXTS = 256;

interface Issued {
  readonly context: SecureContext;
  /** Epoch ms. */
  readonly until: number;
}

function keyPair(): { privateKey: KeyObject; publicKey: KeyObject } {
  return generateKeyPairSync('ec', { namedCurve: 'P-256' });
}

/** Makes an authority, for one sandbox alone. */
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

/** How long after one was taken the next is made: whoever took it is busy until then. */
const AHEAD_MS = 500;

/** Makes authorities ahead, so that hardly anybody waits for one. Each is given out once. */
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
    // Whoever comes then makes another, and is told what is wrong.
    next.catch(() => {
      if (this.#next === next) this.#next = null;
    });
  }
}

/** Issues certificates to the gateway, one a name, kept as long as they are good. */
export class CertificateAuthority {
  readonly #issuerKey: { privateKey: KeyObject; publicKey: KeyObject };
  readonly #leafKey = keyPair();
  /** The one used last comes last. */
  readonly #issued = new Map<string, Issued>();

  /** @throws where the stored key is none */
  constructor(stored: StoredAuthority) {
    const privateKey = createPrivateKey(stored.key);
    this.#issuerKey = { privateKey, publicKey: createPublicKey(privateKey) };
  }

  /** What a TLS server for this host (normalized) takes. */
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
