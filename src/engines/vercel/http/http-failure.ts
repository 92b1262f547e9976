/** What became of a request that did not succeed. */
import type { Credentials } from './credentials.ts';

/** Whether the platform may have done what it was asked: `refused` is certain that it has not. */
export type Outcome = 'refused' | 'unknown';

export type FailureKind =
  /** The platform answered with an error status. */
  | 'status'
  /** No connection, or one that broke. */
  | 'connection'
  /** Nothing came in time. */
  | 'timeout'
  /** An answer that is none of this API. */
  | 'malformed';

export interface FailureFacts {
  readonly kind: FailureKind;
  readonly outcome: Outcome;
  /** HTTP status; null without an answer. */
  readonly status: number | null;
  /** The `error.code` of the platform's answer. */
  readonly platformCode: string | null;
  /** The `error.message` of the platform's answer, or the system's words. */
  readonly text: string;
  /** What `Retry-After` asked for. */
  readonly retryAfterMs: number | null;
  /** True where the answer says that the token itself is wrong. */
  readonly invalidToken: boolean;
  /** Where the token came from that an answer refuses; null where none of ours was asked with. */
  readonly variable: Credentials['variable'] | null;
}

/**
 * The end of a request after all repeats that are safe. The SDK repeats what fails; its one exception is an error of
 * this name, which it hands on as it is.
 */
export class HttpFailure extends Error {
  override readonly name = 'AbortError';
  readonly facts: FailureFacts;

  constructor(facts: FailureFacts, cause?: unknown) {
    super(facts.text, cause === undefined ? undefined : { cause });
    this.facts = facts;
  }
}
