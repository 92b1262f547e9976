/** The outcome of a request that did not succeed. */
import type { Credentials } from './credentials.ts';

/** Whether the platform may have carried out the request: `refused` is certain that it has not. */
export type Outcome = 'refused' | 'unknown';

export type FailureKind =
  /** The platform responded with an error status. */
  | 'status'
  /** No connection, or one that broke. */
  | 'connection'
  /** A timeout. */
  | 'timeout'
  /** A response that does not match this API. */
  | 'malformed';

export interface FailureFacts {
  readonly kind: FailureKind;
  readonly outcome: Outcome;
  /** HTTP status; null without a response. */
  readonly status: number | null;
  /** The `error.code` of the platform's response. */
  readonly platformCode: string | null;
  /** The `error.message` of the platform's response, or the system's message. */
  readonly text: string;
  /** The delay that `Retry-After` asked for. */
  readonly retryAfterMs: number | null;
  /** True if the response says that the token itself is invalid. */
  readonly invalidToken: boolean;
  /** The source of the token that was rejected; null if none of ours was sent. */
  readonly variable: Credentials['variable'] | null;
}

/**
 * The failure of a request after all safe retries. The SDK retries every failure except an error of this
 * name, which it rethrows unchanged.
 */
export class HttpFailure extends Error {
  override readonly name = 'AbortError';
  readonly facts: FailureFacts;

  constructor(facts: FailureFacts, cause?: unknown) {
    super(facts.text, cause === undefined ? undefined : { cause });
    this.facts = facts;
  }
}
