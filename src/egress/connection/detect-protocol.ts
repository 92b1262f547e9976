/** Detects the protocol of a connection from its first bytes, for the protocols that name their server. */

export type Protocol = 'tls' | 'http' | 'opaque';

const TLS_HANDSHAKE = 0x16;
const LINE_FEED = 0x0a;
/** Longer than any request line that servers accept. */
const MAX_LINE = 16_384;
/** RFC 9112, 3. */
const REQUEST_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ \S+ HTTP\/\d\.\d\r?$/;
/** Matches a line whose whitespace characters have all been replaced by spaces. */
const VERSION = / http\//i;
/**
 * HTTP/0.9, or a missing version. Other protocols have similar commands, but not with such an argument:
 * `GET key`.
 */
const METHOD_AND_TARGET = /^(?:get|head|post|put|patch|delete|options|trace|connect) +(?:\/|\*|https?:)/i;

/**
 * True for bytes that a lenient server skips before a request line or treats as whitespace in it (Python
 * splits at all of these).
 */
function isBlank(byte: number): boolean {
  return (byte >= 0x09 && byte <= 0x0d) || (byte >= 0x1c && byte <= 0x20) || byte === 0x85 || byte === 0xa0;
}

/**
 * Detects the protocol as bytes arrive, reading each byte once. Anything that a lenient server could take for
 * an HTTP request counts as HTTP, so that the strict parser decides about it.
 */
export class ProtocolDetector {
  #start = 0;
  #scanned = 0;

  /**
   * @param bytes all bytes of the connection so far
   * @returns null while more bytes are needed
   */
  detect(bytes: Buffer): Protocol | null {
    if (bytes[0] === TLS_HANDSHAKE) {
      if (bytes.length < 2) return null;
      return bytes[1] === 3 ? 'tls' : 'opaque';
    }
    for (; this.#scanned < bytes.length; this.#scanned++) {
      const byte = bytes[this.#scanned] ?? 0;
      if (this.#start === this.#scanned && isBlank(byte)) this.#start++;
      else if (byte === LINE_FEED) return this.#protocolOfLine(bytes);
      else if (byte < 0x20 && !isBlank(byte)) return 'opaque';
    }
    return bytes.length > MAX_LINE ? this.#protocolOfLine(bytes) : null;
  }

  #protocolOfLine(bytes: Buffer): Protocol {
    const spaced = bytes.subarray(this.#start, this.#scanned).map((byte) => (isBlank(byte) ? 0x20 : byte));
    const line = Buffer.from(spaced).toString('latin1');
    return VERSION.test(line) || METHOD_AND_TARGET.test(line) ? 'http' : 'opaque';
  }
}

/**
 * True if bytes detected as HTTP begin with a request line in its only valid form, preceded by empty lines at
 * most.
 */
export function hasValidRequestLine(bytes: Buffer): boolean {
  let start = 0;
  while (bytes[start] === 0x0d || bytes[start] === LINE_FEED) start++;
  const end = bytes.indexOf(LINE_FEED, start);
  return end >= 0 && REQUEST_LINE.test(bytes.toString('latin1', start, end));
}
