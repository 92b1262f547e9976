/**
 * Reads the server name from the client hello of a TLS connection (RFC 8446, RFC 6066) without terminating
 * TLS.
 */

import { GrowingBuffer } from './growing-buffer.ts';

export type ClientHello =
  | { readonly kind: 'incomplete' }
  /** Not TLS, or TLS that violates the specification. */
  | { readonly kind: 'malformed' }
  | {
      readonly kind: 'hello';
      readonly serverName: string | null;
      /**
       * True if it has an encrypted client hello extension, real or grease: `serverName` is the outer name.
       */
      readonly encrypted: boolean;
      /** The ALPN protocols that the client offers (RFC 7301), e.g. `h2`; empty if it offers none. */
      readonly protocols: readonly string[];
    };

const HANDSHAKE = 22;
const CLIENT_HELLO = 1;
const EXTENSION_SERVER_NAME = 0;
const EXTENSION_PROTOCOLS = 16;
/** Encrypted client hello (RFC 9849) and its predecessor, ESNI. */
const EXTENSIONS_ENCRYPTED = [0xfe0d, 0xffce];
const RECORD_HEADER = 5;
const MESSAGE_HEADER = 4;
const MAX_RECORD = 16_384 + 256;
const MAX_HELLO = 65_536;
/** More than any client sends, even one that puts each byte of a usual hello into a record of its own. */
const MAX_RECORDS = 4_096;

class Truncated extends Error {}

/** Takes bytes off the front; throws `Truncated` if there are too few. */
class Reader {
  #at = 0;
  constructor(readonly bytes: Buffer) {}
  number(length: number): number {
    return this.take(length).readUIntBE(0, length);
  }
  take(length: number): Buffer {
    if (this.#at + length > this.bytes.length) throw new Truncated();
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

/**
 * Parses a client hello as its bytes arrive, however the client has cut it into records (RFC 8446, 5.1). Each
 * byte is examined once: the time is linear in the bytes, and both bytes and records are bounded.
 */
export class ClientHelloParser {
  readonly #header = Buffer.alloc(RECORD_HEADER);
  #headerBytes = 0;
  /** Bytes of the current record that have not arrived. */
  #recordLeft = 0;
  #records = 0;
  /** The handshake message so far, without the record headers. */
  readonly #message = new GrowingBuffer();
  #result: ClientHello = { kind: 'incomplete' };

  /** @param bytes the next bytes of the connection */
  push(bytes: Buffer): ClientHello {
    let at = 0;
    while (at < bytes.length && this.#result.kind === 'incomplete') {
      at += this.#recordLeft === 0 ? this.#readHeader(bytes, at) : this.#readPayload(bytes, at);
    }
    return this.#result;
  }

  #readHeader(bytes: Buffer, from: number): number {
    const taken = bytes.copy(this.#header, this.#headerBytes, from);
    this.#headerBytes += taken;
    const [type, major] = this.#header;
    if (type !== HANDSHAKE || (this.#headerBytes > 1 && major !== 3)) this.#result = { kind: 'malformed' };
    if (this.#headerBytes < RECORD_HEADER) return taken;
    this.#headerBytes = 0;
    this.#records++;
    this.#recordLeft = this.#header.readUInt16BE(3);
    if (this.#recordLeft === 0 || this.#recordLeft > MAX_RECORD || this.#records > MAX_RECORDS)
      this.#result = { kind: 'malformed' };
    return taken;
  }

  #readPayload(bytes: Buffer, from: number): number {
    const payload = bytes.subarray(from, from + this.#recordLeft);
    this.#recordLeft -= payload.length;
    this.#message.append(payload);
    const message = this.#message.bytes;
    if (message.length < MESSAGE_HEADER) return payload.length;
    const length = message.readUIntBE(1, 3);
    if (message[0] !== CLIENT_HELLO || length > MAX_HELLO) this.#result = { kind: 'malformed' };
    else if (message.length >= MESSAGE_HEADER + length)
      this.#result = parseHello(message.subarray(MESSAGE_HEADER, MESSAGE_HEADER + length));
    return payload.length;
  }
}

function parseHello(message: Buffer): ClientHello {
  try {
    return readHello(new Reader(message));
  } catch (error) {
    if (error instanceof Truncated) return { kind: 'malformed' };
    throw error;
  }
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
    // With two of them, the server could read another name than this parser.
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

/**
 * A fatal, unencrypted alert (RFC 8446, 6): `access_denied` tells the client that it was refused, not that it
 * failed.
 */
export const ALERT_ACCESS_DENIED: Buffer = Buffer.from([21, 3, 3, 0, 2, 2, 49]);
