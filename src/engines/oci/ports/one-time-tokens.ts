import { createHash, randomBytes } from 'node:crypto';

const LIFETIME_MS = 600_000;
/** Outstanding ones; a further one takes the place of the oldest. */
const MAX_TOKENS = 16;

/** Words that open a door once, within ten minutes. */
export class OneTimeTokens {
  /** By hash, so that looking one up takes no time that tells of another; with the time at which it expires. */
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
