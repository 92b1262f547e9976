import { generateKeyPairSync } from 'node:crypto';
import { issueCertificate } from '../../../src/egress/tls/x509.ts';

/** A key and a certificate of its own for a host name, as PEM. Nobody trusts it. */
export function certificateFor(host: string): { key: string; cert: string } {
  const keys = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const cert = issueCertificate({
    subject: host,
    publicKey: keys.publicKey,
    issuer: host,
    issuerKey: keys,
    notBefore: new Date(Date.now() - 60_000),
    notAfter: new Date(Date.now() + 3_600_000),
    host,
  });
  return { key: keys.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), cert };
}
