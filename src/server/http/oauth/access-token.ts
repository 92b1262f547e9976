import { createHash } from 'node:crypto';
import { errors, type JWTPayload, type JWTVerifyGetKey, jwtVerify } from 'jose';
import { IssuerUnavailableError } from './issuer-keys.ts';

/** Public-key algorithms only: with a shared secret, whoever checks a token could also forge one. */
const ALGORITHMS = [
  ...['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'],
  ...['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'],
];
/** Clocks of two machines differ. */
const CLOCK_TOLERANCE_S = 30;

/** What an access token says. */
export interface AccessGrant {
  readonly issuer: string;
  readonly subject: string;
  readonly scopes: ReadonlySet<string>;
}

export type AccessTokenResult =
  | { readonly grant: AccessGrant }
  /** The reason, worded without anything from the token. */
  | { readonly invalid: string }
  | { readonly unavailable: Error };

/** Checks a JWT access token: signature, issuer, audience (RFC 8707) and expiry. Never rejects. */
export async function verifyAccessToken(
  token: string,
  { issuer, audience, keys }: { issuer: string; audience: string; keys: JWTVerifyGetKey },
): Promise<AccessTokenResult> {
  try {
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      audience,
      algorithms: ALGORITHMS,
      requiredClaims: ['exp', 'sub'],
      clockTolerance: CLOCK_TOLERANCE_S,
    });
    const { sub } = payload;
    if (typeof sub !== 'string' || sub === '') return { invalid: 'The token has no subject.' };
    return { grant: { issuer, subject: sub, scopes: scopesOf(payload) } };
  } catch (error) {
    if (error instanceof IssuerUnavailableError) return { unavailable: error };
    return { invalid: reasonOf(error) };
  }
}

/**
 * A principal of its own for each subject of each issuer. It is also the name of a folder, so of the subject
 * only letters and digits are kept, for people to read; the digest makes it unique.
 */
export function principalOf({ issuer, subject }: Pick<AccessGrant, 'issuer' | 'subject'>): string {
  const readable = subject
    .slice(0, 64)
    .toLowerCase()
    .replaceAll(/[^a-z0-9]/g, '')
    .slice(0, 24);
  const digest = createHash('sha256')
    .update(JSON.stringify([issuer, subject]))
    .digest('hex')
    .slice(0, 32);
  return `${readable}_${digest}`.replace(/^_/, '');
}

/** `scope` as in RFC 9068; some authorization servers send `scp` instead, as a list or a string. */
function scopesOf({ scope, scp }: JWTPayload): Set<string> {
  const given = scope ?? scp;
  const words = Array.isArray(given) ? given : typeof given === 'string' ? given.split(' ') : [];
  return new Set(words.filter((word) => typeof word === 'string'));
}

function reasonOf(error: unknown): string {
  if (error instanceof errors.JWTExpired) return 'The token has expired.';
  if (error instanceof errors.JWTClaimValidationFailed) {
    if (error.claim === 'aud') return 'The token is for another resource.';
    if (error.claim === 'iss') return 'The token is from another issuer.';
    return 'The token lacks a claim, or one is not valid.';
  }
  return 'The token is not valid.';
}
