/** Reads the server name out of the first bytes of a TLS connection (RFC 8446, RFC 6066), without taking part in it. */

export type ClientHello =
  | { readonly kind: 'incomplete' }
  /** No TLS, or TLS that breaks its own rules. */
  | { readonly kind: 'malformed' }
  | {
      readonly kind: 'hello';
      readonly serverName: string | null;
      readonly encrypted: boolean;
      /** What it offers to speak inside (RFC 7301), e.g. `h2`; empty where it does not say. */
      readonly protocols: readonly string[];
    };

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const EXTENSION_SERVER_NAME = 0;
const EXTENSION_PROTOCOLS = 16;
/** Encrypted client hello (RFC 9849) and its predecessor: the name that is shown may not be the one that is meant. */
const EXTENSIONS_ENCRYPTED = [0xfe0d, 0xffce];
const RECORD_HEADER = 5;
const MAX_RECORD = 16_384 + 256;
const MAX_HELLO = 65_536;

class Cut extends Error {}

/** Takes bytes off the front; throws `Cut` where there are too few. */
class Reader {
  #at = 0;
  constructor(readonly bytes: Buffer) {}
  number(length: number): number {
    return this.take(length).readUIntBE(0, length);
  }
  take(length: number): Buffer {
    if (this.#at + length > this.bytes.length) throw new Cut();
    this.#at += length;
    return this.bytes.subarray(this.#at - length, this.#at);
  }
  vector(lengthBytes: number): Buffer {
    return this.take(this.number(lengthBytes));
  }
  get empty(): boolean {
    return this.#at === this.bytes.length;
  }
}

/** Parses what has arrived so far; call again with more while it is `incomplete`. */
export function parseClientHello(bytes: Buffer): ClientHello {
  const joined = handshakeBytes(bytes);
  if (joined === null) return { kind: 'malformed' };
  if (joined.length < 4) return { kind: 'incomplete' };
  const length = joined.readUIntBE(1, 3);
  if (joined[0] !== CLIENT_HELLO || length > MAX_HELLO) return { kind: 'malformed' };
  if (joined.length < 4 + length) return { kind: 'incomplete' };
  try {
    return readHello(new Reader(joined.subarray(4, 4 + length)));
  } catch (error) {
    if (error instanceof Cut) return { kind: 'malformed' };
    throw error;
  }
}

/** The payload of the handshake records so far, however a client has cut them; null where one is no handshake. */
function handshakeBytes(bytes: Buffer): Buffer | null {
  const parts: Buffer[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (bytes[at] !== HANDSHAKE) return null;
    if (at + 1 < bytes.length && bytes[at + 1] !== 3) return null;
    if (at + RECORD_HEADER > bytes.length) break;
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > MAX_RECORD) return null;
    parts.push(bytes.subarray(at + RECORD_HEADER, at + RECORD_HEADER + length));
    at += RECORD_HEADER + length;
    if (wholeMessage(parts)) break;
  }
  return Buffer.concat(parts);
}

function wholeMessage(parts: readonly Buffer[]): boolean {
  const joined = parts.length === 1 ? (parts[0] ?? Buffer.alloc(0)) : Buffer.concat(parts);
  return joined.length >= 4 && joined.length >= 4 + joined.readUIntBE(1, 3);
}

function readHello(hello: Reader): ClientHello {
  hello.take(2 + 32); // version, random
  hello.vector(1); // session id
  hello.vector(2); // cipher suites
  hello.vector(1); // compression methods
  let serverName: string | null = null;
  let encrypted = false;
  let protocols: string[] = [];
  if (hello.empty) return { kind: 'hello', serverName, encrypted, protocols };
  const extensions = new Reader(hello.vector(2));
  let names = 0;
  while (!extensions.empty) {
    const type = extensions.number(2);
    const body = extensions.vector(2);
    if (EXTENSIONS_ENCRYPTED.includes(type)) encrypted = true;
    if (type === EXTENSION_PROTOCOLS) protocols = readProtocols(body);
    if (type !== EXTENSION_SERVER_NAME) continue;
    // Two of them would let this reader and the server see different names.
    if (++names > 1) return { kind: 'malformed' };
    const list = new Reader(new Reader(body).vector(2));
    while (!list.empty) {
      const nameType = list.number(1);
      const name = list.vector(2);
      if (nameType !== 0 || serverName !== null) return { kind: 'malformed' };
      serverName = name.toString('latin1');
    }
  }
  return { kind: 'hello', serverName, encrypted, protocols };
}

function readProtocols(body: Buffer): string[] {
  const list = new Reader(new Reader(body).vector(2));
  const protocols: string[] = [];
  while (!list.empty) protocols.push(list.vector(1).toString('latin1'));
  return protocols;
}

/** A fatal alert in the clear (RFC 8446, 6): `access_denied` tells a client that it was refused, not that it failed. */
export const ALERT_ACCESS_DENIED: Buffer = Buffer.from([21, 3, 3, 0, 2, 2, 49]);
