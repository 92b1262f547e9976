import { createHash, timingSafeEqual } from 'node:crypto';
import type { HttpSettings } from '../../config/config.ts';
import { bearerToken } from './bearer-token.ts';
import type { Authenticate, Authentication, Caller } from './caller.ts';
import type { OAuth } from './oauth/oauth.ts';

/** The caller if nobody has to authenticate; the same principal as on stdio. */
const LOCAL: Caller = { principal: 'local', scopes: null };

/** Identifies callers by the operator's tokens and by access tokens. If there are neither, everybody is `local`. */
export function createAuthenticator(tokens: HttpSettings['tokens'], oauth: OAuth | null): Authenticate {
  const known = tokens.map(({ principal, digest }) => ({ principal, digest: Buffer.from(digest, 'hex') }));
  const unauthorized = (message: string, code?: string): Authentication => {
    const error = code === undefined ? undefined : { code, description: message };
    const challenge = oauth?.resource.challenge(error) ?? plainChallenge(code);
    return { refused: { status: 401, message, headers: { 'www-authenticate': challenge } } };
  };
  return async (authorization) => {
    if (known.length === 0 && oauth === null) return { caller: LOCAL };
    if (authorization === undefined) return unauthorized('A bearer token is required.');
    const token = bearerToken(authorization);
    if (token === null) return unauthorized('The Authorization header is malformed.', 'invalid_request');
    const principal = findPrincipal(known, token);
    if (principal !== null) return { caller: { principal, scopes: null } };
    return oauth?.authenticate(token) ?? unauthorized('The token is not valid.', 'invalid_token');
  };
}

function plainChallenge(code: string | undefined): string {
  return code === undefined ? 'Bearer' : `Bearer error="${code}"`;
}

/** Compares digests, all of them, so that the time says nothing about any token. */
function findPrincipal(
  known: readonly { principal: string; digest: Buffer }[],
  token: string,
): string | null {
  const given = createHash('sha256').update(token).digest();
  let found: string | null = null;
  for (const { principal, digest } of known) if (timingSafeEqual(digest, given)) found = principal;
  return found;
}
