/** Derives the failure of a request from a network error or the platform's response. */
import { z } from 'zod';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';
import { type FailureFacts, HttpFailure } from './http-failure.ts';

/** Longer platform messages are truncated: they end up in a response. */
const MAX_TEXT = 400;

const errorBody = z.object({
  error: z.object({
    code: z.string().optional(),
    message: z.string().optional(),
    invalidToken: z.boolean().optional(),
  }),
});

/** Errors of a connection that was never made: no request was sent. */
const NEVER_SENT = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'ENETUNREACH',
  'EHOSTUNREACH',
  'UND_ERR_CONNECT_TIMEOUT',
]);

const TIMED_OUT = new Set([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'ETIMEDOUT',
]);

const NOTHING: Omit<FailureFacts, 'kind' | 'outcome' | 'text'> = {
  status: null,
  platformCode: null,
  retryAfterMs: null,
  invalidToken: false,
  variable: null,
};

/** The failure that a connection ended in; deliberate errors (an abort, a failure) stay unchanged. */
export function brokenConnection(error: unknown): unknown {
  if (error instanceof HttpFailure || error instanceof SandboxError) return error;
  if (error instanceof Error && error.name === 'AbortError') return error;
  const root = rootOf(error);
  const code = systemErrorCode(root) ?? '';
  const facts: FailureFacts = {
    ...NOTHING,
    kind: TIMED_OUT.has(code) ? 'timeout' : 'connection',
    outcome: NEVER_SENT.has(code) ? 'refused' : 'unknown',
    text: code === '' ? messageOf(root) : code,
  };
  return new HttpFailure(facts, error);
}

/** `fetch failed` and `terminated` are uninformative; their cause is not. */
function rootOf(error: unknown): unknown {
  let root = error;
  for (let depth = 0; depth < 5 && root instanceof Error && root.cause instanceof Error; depth += 1) {
    root = root.cause;
  }
  // Every address of a name failed; report the first.
  return root instanceof AggregateError && root.errors[0] instanceof Error ? root.errors[0] : root;
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).slice(0, MAX_TEXT);
}

/**
 * The failure for an error status.
 *
 * @param variable the source of the token that was sent
 */
export function failedStatus(
  status: number,
  retryAfter: string | null,
  text: string,
  variable: FailureFacts['variable'],
): HttpFailure {
  const parsed = errorBody.safeParse(jsonOf(text));
  const error = parsed.success ? parsed.data.error : {};
  return new HttpFailure({
    kind: 'status',
    // Behind a failing server, or a gateway that timed out, the request may have been carried out.
    outcome: status >= 500 ? 'unknown' : 'refused',
    status,
    platformCode: error.code ?? null,
    text: (error.message ?? '').slice(0, MAX_TEXT),
    retryAfterMs: retryAfterMs(retryAfter),
    invalidToken: error.invalidToken === true,
    variable,
  });
}

/** The failure of a successful response with an invalid body. */
export function invalidBody(status: number, text: string): HttpFailure {
  const start = text.slice(0, 60).replace(/\s+/g, ' ');
  return new HttpFailure({
    ...NOTHING,
    kind: 'malformed',
    outcome: 'unknown',
    status,
    text: start === '' ? 'an empty response' : `a response that begins with ${JSON.stringify(start)}`,
  });
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

/** Seconds or a date (RFC 9110, 10.2.3); null for neither. */
function retryAfterMs(value: string | null): number | null {
  if (value === null) return null;
  if (/^\d{1,9}$/.test(value.trim())) return Number(value) * 1_000;
  const date = Date.parse(value);
  return Number.isNaN(date) ? null : Math.max(0, date - Date.now());
}
