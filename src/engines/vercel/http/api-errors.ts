/**
 * Maps every failure of the SDK, the network and the platform to a SandboxError with its code and the next
 * step.
 */
import { APIError, StreamError } from '@vercel/sandbox';
import { type ErrorCode, SandboxError } from '../../../shared/errors.ts';
import { RENEWAL } from './credentials.ts';
import { type FailureFacts, HttpFailure } from './http-failure.ts';

/** The subject of a call. */
export interface About {
  /** `start a command`, …: completes "Vercel refused to …". */
  readonly doing: string;
  readonly sandboxId?: string;
  readonly snapshotId?: string;
}

const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  400: 'invalid_argument',
  401: 'auth',
  402: 'limit_exceeded',
  403: 'permission',
  404: 'not_found',
  408: 'timeout',
  409: 'conflict',
  410: 'conflict',
  413: 'limit_exceeded',
  422: 'invalid_argument',
  429: 'rate_limit',
};

/** Platform error codes that are more specific than their status. */
const BY_PLATFORM_CODE: Readonly<Record<string, ErrorCode>> = {
  snapshot_not_found: 'not_found',
  sandbox_stopped: 'conflict',
  sandbox_stopping: 'conflict',
  sandbox_snapshotting: 'conflict',
};

const CONNECTION_HINT =
  'Call again; if it keeps failing, run `sandbox-mcp doctor`, which tests the connection (HTTPS_PROXY, --vercel-api-url).';

/** True if the platform returned this code, or an equivalent message. */
export function isNotFound(error: unknown): boolean {
  const facts = factsOf(error);
  return facts?.status === 404 || facts?.platformCode === 'snapshot_not_found';
}

/** True if a sandbox that was requested by its own address does not exist, or no longer exists. */
export function isSandboxMissing(error: unknown): boolean {
  return isNotFound(error) || factsOf(error)?.status === 410;
}

/** The same for a snapshot: an error about a sandbox is not about it. */
export function isSnapshotMissing(error: unknown): boolean {
  return isSandboxMissing(error) && factsOf(error)?.platformCode !== 'sandbox_stopped';
}

/** True if the sandbox has no session left that could carry out the request. */
export function isStopped(error: unknown): boolean {
  const facts = factsOf(error);
  if (facts === null) return false;
  const { status, platformCode } = facts;
  if (platformCode === 'snapshot_not_found') return false;
  return status === 410 || platformCode === 'sandbox_stopping' || platformCode === 'sandbox_snapshotting';
}

/** True unless it is certain that the platform did nothing. */
export function mayHaveHappened(error: unknown): boolean {
  const facts = factsOf(error);
  return facts === null || facts.outcome === 'unknown';
}

/** The platform's or the system's message; empty if there is none. */
export function platformMessage(error: unknown): string {
  return factsOf(error)?.text ?? '';
}

/** True if a later retry may well succeed: the failure says nothing about the request itself. */
export function isPassing(error: unknown): boolean {
  if (error instanceof StreamError) return true;
  const facts = factsOf(error);
  if (facts === null) return !(error instanceof SandboxError);
  const { status } = facts;
  return (
    status === null || (status >= 200 && status < 300) || status === 408 || status === 429 || status >= 500
  );
}

function factsOf(error: unknown): FailureFacts | null {
  if (error instanceof HttpFailure) return error.facts;
  // Errors of a stream are wrapped.
  if (error instanceof Error && error.cause instanceof HttpFailure) return error.cause.facts;
  if (error instanceof APIError) {
    return {
      kind: 'malformed',
      outcome: 'unknown',
      status: error.response.status,
      platformCode: null,
      text: 'a response that its own SDK does not accept',
      retryAfterMs: null,
      invalidToken: false,
      variable: null,
    };
  }
  return null;
}

/** The error to throw for an error of a call to the platform. */
export function fromPlatform(error: unknown, about: About, signal?: AbortSignal): SandboxError {
  if (error instanceof SandboxError) return error;
  if (signal?.aborted)
    return new SandboxError('cancelled', 'The call was cancelled.', { cause: signal.reason });
  const details = {
    ...(about.sandboxId !== undefined && { sandbox_id: about.sandboxId }),
    ...(about.snapshotId !== undefined && { snapshot_id: about.snapshotId }),
  };
  const facts = factsOf(error);
  if (facts !== null) return fromFacts(facts, about, details, error);
  if (error instanceof StreamError) {
    return new SandboxError('conflict', `Vercel ended the stream (${error.code}: ${error.message}).`, {
      hint: 'Call sandbox_get to see whether the sandbox is still running.',
      details,
      cause: error,
    });
  }
  return new SandboxError('server', `Failed to ${about.doing}: Vercel's response is invalid.`, {
    details,
    cause: error,
  });
}

function fromFacts(
  facts: FailureFacts,
  about: About,
  details: Record<string, unknown>,
  cause: unknown,
): SandboxError {
  const { kind, status, platformCode, text } = facts;
  if (kind === 'timeout') {
    const message = `Failed to ${about.doing}: Vercel's API did not respond in time.`;
    return new SandboxError('timeout', message, { hint: CONNECTION_HINT, details, cause });
  }
  if (kind === 'connection') {
    const message = `Failed to ${about.doing}: the connection to Vercel's API failed (${text}).`;
    return new SandboxError('unavailable', message, { hint: CONNECTION_HINT, details, cause });
  }
  if (kind === 'malformed') {
    const message = `Failed to ${about.doing}: Vercel's API returned ${text}.`;
    return new SandboxError('server', message, { details, cause });
  }
  const reason = text === '' ? `status ${status}` : text;
  const code = codeOf(facts);
  const message = `Vercel refused to ${about.doing}: ${reason}`;
  return new SandboxError(code, /[.!?]$/.test(message) ? message : `${message}.`, {
    ...hintOf(code, facts, about),
    details: {
      ...details,
      status,
      ...(platformCode !== null && { platform_code: platformCode }),
      ...(facts.retryAfterMs !== null && { retry_after_ms: facts.retryAfterMs }),
    },
    cause,
  });
}

function codeOf({ status, platformCode, invalidToken }: FailureFacts): ErrorCode {
  if (invalidToken || platformCode === 'invalid_token' || platformCode === 'token_expired') return 'auth';
  const own = platformCode === null ? undefined : BY_PLATFORM_CODE[platformCode];
  if (own !== undefined) return own;
  return BY_STATUS[status ?? 0] ?? ((status ?? 500) >= 500 ? 'server' : 'invalid_argument');
}

function hintOf(
  code: ErrorCode,
  { retryAfterMs, platformCode, variable }: FailureFacts,
  about: About,
): { hint?: string } {
  switch (code) {
    case 'auth':
      return { hint: variable === null ? CONNECTION_HINT : RENEWAL[variable] };
    case 'permission':
      return {
        hint: 'Check that the token may use sandboxes of this team and project; `sandbox-mcp doctor` tests it.',
      };
    case 'rate_limit':
      return retryAfterMs === null
        ? {}
        : { hint: `Wait ${Math.ceil(retryAfterMs / 1_000)} s, then call again.` };
    case 'limit_exceeded':
      return {
        hint: 'This is a limit of the team’s plan: stop what you no longer need, or check the usage at vercel.com.',
      };
    case 'not_found':
      if (platformCode === 'snapshot_not_found' || about.snapshotId !== undefined)
        return { hint: 'Call snapshot_list to see your snapshots.' };
      return {};
    case 'conflict':
      return { hint: 'Call sandbox_get to see the state of the sandbox, or sandbox_create for a new one.' };
    default:
      return {};
  }
}
