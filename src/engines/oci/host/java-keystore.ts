/** Java's own format for a store of certificates (JKS, version 2), which every Java reads. */
import { createHash } from 'node:crypto';

const MAGIC = 0xfeedfeed;
const VERSION = 2;
const TRUSTED_CERTIFICATE = 2;
/** Java's own for its store of authorities: it guards nothing that is secret. */
const PASSWORD = 'changeit';
/** Part of the format: mixed into the digest at the end. */
const SALT = 'Mighty Aphrodite';

/** The entries of a store for certificates in PEM, to be joined by `javaTrustStore`. */
export interface JavaEntries {
  readonly count: number;
  readonly bytes: Buffer;
}

/** @param alias what their names in the store begin with */
export function javaEntries(pem: string, alias: string): JavaEntries {
  const certificates = [
    ...pem.matchAll(/-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----/g),
  ];
  const bytes = certificates.map(([, base64 = ''], index) => {
    const der = Buffer.from(base64, 'base64');
    return Buffer.concat([
      number(TRUSTED_CERTIFICATE),
      text(`${alias}-${index}`),
      Buffer.alloc(8),
      text('X.509'),
      number(der.length),
      der,
    ]);
  });
  return { count: certificates.length, bytes: Buffer.concat(bytes) };
}

/** A whole store. */
export function javaKeystore(parts: readonly JavaEntries[]): Buffer {
  const count = parts.reduce((sum, part) => sum + part.count, 0);
  const data = Buffer.concat([
    number(MAGIC),
    number(VERSION),
    number(count),
    ...parts.map(({ bytes }) => bytes),
  ]);
  const digest = createHash('sha1')
    .update(Buffer.from(PASSWORD, 'utf16le').swap16())
    .update(SALT)
    .update(data);
  return Buffer.concat([data, digest.digest()]);
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** ASCII alone, where Java's own spelling of text is UTF-8. */
function text(value: string): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(value.length);
  return Buffer.concat([length, Buffer.from(value, 'ascii')]);
}
