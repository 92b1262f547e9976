/** Tells from the first bytes of a connection which protocol shows the name that it means. */

export type Protocol = 'tls' | 'http' | 'opaque';

const TLS_HANDSHAKE = 0x16;
/** A request line that is longer than this is nobody's. */
const MAX_LINE = 16_384;
const HTTP_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ \S+ HTTP\/\d/;

/** Null while more bytes are needed to tell. */
export function detectProtocol(bytes: Buffer): Protocol | null {
  // Servers skip empty lines before a request; so must whoever judges it.
  let at = 0;
  while (bytes[at] === 0x0d || bytes[at] === 0x0a) at++;
  if (at === bytes.length) return bytes.length > MAX_LINE ? 'opaque' : null;
  if (at === 0 && bytes[0] === TLS_HANDSHAKE) {
    if (bytes.length < 2) return null;
    return bytes[1] === 3 ? 'tls' : 'opaque';
  }
  const end = bytes.indexOf(0x0a, at);
  const line = bytes.subarray(at, end < 0 ? bytes.length : end);
  if (line.some((byte) => byte < 0x20 && byte !== 0x0d && byte !== 0x09)) return 'opaque';
  if (HTTP_LINE.test(line.toString('latin1'))) return 'http';
  return end < 0 && line.length <= MAX_LINE ? null : 'opaque';
}
