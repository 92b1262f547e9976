import { createHash, randomBytes } from 'node:crypto';

const LIFETIME_MS = 600_000;
/** Outstanding tokens; another one replaces the oldest. */
const MAX_TOKENS = 16;

/** Tokens that are valid once, within ten minutes. */
export class OneTimeTokens {
  /** Keyed by hash, so that the time of a look-up reveals nothing about other tokens. Values: expiry time. */
  readonly #expiry = new Map<string, number>();
  readonly #now: () => number;

  /** @param now milliseconds on any clock that does not run backwards */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** A new token of 256 random bits, in base64url. */
  issue(): string {
    const [oldest] = this.#expiry.keys();
    if (oldest !== undefined && this.#expiry.size >= MAX_TOKENS) this.#expiry.delete(oldest);
    const token = randomBytes(32).toString('base64url');
    this.#expiry.set(hash(token), this.#now() + LIFETIME_MS);
    return token;
  }

  /** True once for a token that was issued and has not expired. */
  redeem(token: string): boolean {
    const key = hash(token);
    const expiry = this.#expiry.get(key);
    this.#expiry.delete(key);
    return expiry !== undefined && this.#now() < expiry;
  }
}

function hash(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
