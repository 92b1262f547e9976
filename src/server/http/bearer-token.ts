const SCHEME = 'bearer ';
const MAX_TOKEN_CHARACTERS = 8_192;

/** The token of a header, whose scheme is case-insensitive (RFC 9110 section 11.1, RFC 6750 section 2.1). */
export function bearerToken(authorization: string): string | null {
  if (authorization.slice(0, SCHEME.length).toLowerCase() !== SCHEME) return null;
  const token = authorization.slice(SCHEME.length).trimStart();
  return token.length <= MAX_TOKEN_CHARACTERS && /^[\w.~+/=-]+$/.test(token) ? token : null;
}
