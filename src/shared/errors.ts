/** The closed list of error codes that a caller can get. */
const ERROR_CODES = [
  'invalid_argument',
  'not_found',
  'conflict',
  'permission',
  'auth',
  'rate_limit',
  'limit_exceeded',
  'unsupported',
  'timeout',
  'cancelled',
  'unavailable',
  'server',
  'internal',
] as const;

export type ErrorCode = (typeof ERROR_CODES)[number];

/** The default next step for each code. A code without a hint does not compile. */
const DEFAULT_HINTS: Record<ErrorCode, string> = {
  invalid_argument: 'Fix the argument named above and call again.',
  not_found: 'Call sandbox_list for your sandboxes, or session_info for the commands of this session.',
  conflict: 'Call sandbox_get to see the current state, then decide how to continue.',
  permission: 'Choose another path, or ask the operator to allow this one.',
  auth: 'Run `sandbox-mcp doctor` to see which credential is missing or expired.',
  rate_limit: 'Wait a moment, then call again.',
  limit_exceeded: 'Call session_info to see the limits, and stop what you no longer need.',
  unsupported: 'Call session_info to see what this engine can do.',
  timeout: 'Call again with a longer wait, or check the state with sandbox_get.',
  cancelled: 'Call again if you still need the result.',
  unavailable: 'Run `sandbox-mcp doctor` to see what is missing on this machine.',
  server: 'Call again; if it keeps failing, run `sandbox-mcp doctor`.',
  internal: 'This is a bug in the server; its log has the details.',
};

export interface SandboxErrorOptions {
  /** The next step, naming the tool to call. */
  hint?: string;
  /** Plain data for programs: the offending value, the limit, the ids involved. Never a secret. */
  details?: Record<string, unknown>;
  cause?: unknown;
}

/**
 * The only error class that crosses module boundaries. Anything else is a bug and is returned as `internal`.
 */
export class SandboxError extends Error {
  readonly code: ErrorCode;
  readonly hint: string;
  readonly details: Record<string, unknown>;

  constructor(code: ErrorCode, message: string, options: SandboxErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SandboxError';
    this.code = code;
    this.hint = options.hint ?? DEFAULT_HINTS[code];
    this.details = options.details ?? {};
  }
}

/** Throws `cancelled` if the signal has fired. */
export function throwIfCancelled(signal: AbortSignal): void {
  if (signal.aborted)
    throw new SandboxError('cancelled', 'The call was cancelled.', { cause: signal.reason });
}

/** The `code` of a Node system error (`ENOENT`, …), or null for anything else. */
export function systemErrorCode(error: unknown): string | null {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : null;
}

/** What the machine has run out of, by the code of the system's error. */
const EXHAUSTED: Readonly<Record<string, string>> = {
  EMFILE: 'The server has no file descriptors left',
  ENFILE: 'The machine has no file descriptors left',
  EAGAIN: 'The server can start no more processes',
  ENOMEM: 'The machine has no memory left',
};

/** The error to report for a system error that says that something is used up; null for any other. */
export function exhaustedError(error: unknown): SandboxError | null {
  const code = systemErrorCode(error) ?? '';
  const what = Object.hasOwn(EXHAUSTED, code) ? EXHAUSTED[code] : undefined;
  if (what === undefined) return null;
  return new SandboxError('unavailable', `${what} (${code}).`, {
    hint: 'Call again in a moment; stop sandboxes and commands that you no longer need if it keeps failing.',
    cause: error,
  });
}
