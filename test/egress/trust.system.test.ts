/** The CA files that make programs trust the gateway, without the programs. */
import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import {
  AUTHORITY_HASH,
  AuthorityPool,
  createAuthority,
} from '../../src/egress/tls/certificate-authority.ts';
import { chromiumPolicy, FIREFOX_POLICY } from '../../src/engines/oci/host/ca/browser-policies.ts';
import { javaEntries, javaKeystore } from '../../src/engines/oci/host/ca/java-keystore.ts';

describe('the CA of a sandbox', () => {
  it('is valid by strict rules, and found by the hash that the template is prepared for', async () => {
    const { certificate } = await createAuthority();
    const folder = mkdtempSync(join(tmpdir(), 'trust-'));
    try {
      const file = join(folder, 'ca.pem');
      writeFileSync(file, certificate);
      const openssl = (...args: string[]) => execFileSync('openssl', args, { encoding: 'utf8' }).trim();
      expect(openssl('verify', '-x509_strict', '-CAfile', file, file)).toBe(`${file}: OK`);
      expect(openssl('x509', '-in', file, '-noout', '-subject_hash')).toBe(AUTHORITY_HASH);
      expect(new X509Certificate(certificate).ca).toBe(true);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('differs from that of any other sandbox', async () => {
    const stock = new AuthorityPool();
    const taken = await Promise.all([stock.take(), stock.take(), stock.take()]);
    expect(new Set(taken.map(({ key }) => key)).size).toBe(3);
  });

  it('is available to browsers as policies', async () => {
    const { certificate } = await createAuthority();
    const { CACertificates: [der] = [] } = z
      .object({ CACertificates: z.array(z.string()) })
      .parse(JSON.parse(chromiumPolicy(certificate)));
    expect(new X509Certificate(Buffer.from(der ?? '', 'base64')).raw).toEqual(
      new X509Certificate(certificate).raw,
    );
    expect(JSON.parse(FIREFOX_POLICY)).toEqual({
      policies: { Certificates: { Install: ['/run/sandbox-mcp/ca.crt'] } },
    });
  });

  it('is available to Java in its own store format', async () => {
    const authorities = [await createAuthority(), await createAuthority()];
    const parts = authorities.map(({ certificate }, index) => javaEntries(certificate, `a${index}`));
    const store = javaKeystore(parts);
    expect([store.readUInt32BE(0), store.readUInt32BE(4), store.readUInt32BE(8)]).toEqual([0xfeedfeed, 2, 2]);
    for (const { certificate } of authorities)
      expect(store.includes(new X509Certificate(certificate).raw)).toBe(true);
    const digest = createHash('sha1')
      .update(Buffer.from('changeit', 'utf16le').swap16())
      .update('Mighty Aphrodite')
      .update(store.subarray(0, -20));
    expect(store.subarray(-20)).toEqual(digest.digest());
  });
});
