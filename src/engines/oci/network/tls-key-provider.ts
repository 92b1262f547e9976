/**
 * What a sandbox's gateway needs to terminate TLS: the sandbox's CA, and the CAs that this server trusts
 * upstream.
 */
import { readFile } from 'node:fs/promises';
import { createTrustContext, type TlsKeyProvider } from '../../../egress/connection/tls-trust.ts';
import { CertificateAuthority } from '../../../egress/tls/certificate-authority.ts';
import type { Logger } from '../../../shared/log.ts';
import { readCa } from '../host/ca/ca-trust.ts';
import type { Host } from '../host/host.ts';
import type { SandboxPaths } from '../state/state-layout.ts';

export class TlsKeyProviders {
  readonly #extraFile: string | null;
  readonly #log: Logger;
  #upstream: Promise<TlsKeyProvider['upstream']> | null = null;

  /** @param extraFile PEM file of CAs that the operator trusts in addition to the host's; null for none */
  constructor(extraFile: string | null, log: Logger) {
    this.#extraFile = extraFile;
    this.#log = log;
  }

  /** Null for a sandbox without a CA. */
  async of(host: Host, paths: SandboxPaths): Promise<TlsKeyProvider | null> {
    this.#upstream ??= this.#extra().then((extra) => createTrustContext(host.caBundle.bundle, extra));
    const [stored, upstream] = await Promise.all([readCa(paths), this.#upstream]);
    if (stored === null) return null;
    let authority: CertificateAuthority | null = null;
    return {
      contextFor: (name) => {
        // Created on demand: most sandboxes never get a rule with headers.
        authority ??= new CertificateAuthority(stored);
        return authority.contextFor(name);
      },
      upstream,
    };
  }

  /** As Node does with NODE_EXTRA_CA_CERTS: an unreadable file is reported and otherwise ignored. */
  async #extra(): Promise<string> {
    if (this.#extraFile === null) return '';
    try {
      return await readFile(this.#extraFile, 'utf8');
    } catch (error) {
      this.#log.warn({ err: error }, 'cannot read NODE_EXTRA_CA_CERTS');
      return '';
    }
  }
}
