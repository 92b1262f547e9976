/** Names of HTTP in ALPN (RFC 7301). */
export const HTTP1 = 'http/1.1';
export const HTTP2 = 'h2';

/** True for a client that offers HTTP over ALPN, or offers nothing. */
export function offersHttp(protocols: readonly string[]): boolean {
  return protocols.length === 0 || protocols.includes(HTTP1) || protocols.includes(HTTP2);
}
