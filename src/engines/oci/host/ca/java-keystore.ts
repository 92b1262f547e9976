/** Writes a Java keystore (JKS, version 2), which every Java can read. */
import { createHash } from 'node:crypto';

const MAGIC = 0xfeedfeed;
const VERSION = 2;
const TRUSTED_CERTIFICATE = 2;
/** Java's default password for the CA keystore; it protects nothing secret. */
const PASSWORD = 'changeit';
/** Part of the format: mixed into the trailing digest. */
const SALT = 'Mighty Aphrodite';

/** Keystore entries for PEM certificates, to be joined by `javaKeystore`. */
export interface JavaEntries {
  readonly count: number;
  readonly bytes: Buffer;
}

/** @param alias prefix of the entries' aliases */
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

/** A complete keystore. */
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

/** ASCII only, for which Java's modified UTF-8 equals UTF-8. */
function text(value: string): Buffer {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(value.length);
  return Buffer.concat([length, Buffer.from(value, 'ascii')]);
}
