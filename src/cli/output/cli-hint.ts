import type { ErrorCode, SandboxError } from '../../shared/errors.ts';

const LIST = 'Run `sandbox-mcp list` to see the sandboxes.';
const DOCTOR = 'Run `sandbox-mcp doctor` to check this machine.';

/**
 * The next step for a person at a terminal, who has verbs and no tools; null if the error's own hint applies.
 */
const HINTS: Record<ErrorCode, string | null> = {
  invalid_argument: 'Run `sandbox-mcp --help` for usage.',
  not_found: LIST,
  conflict: LIST,
  permission: 'Run it as the user who started the server.',
  auth: null,
  rate_limit: 'Wait a moment, then run it again.',
  limit_exceeded: LIST,
  unsupported: DOCTOR,
  timeout: 'Run it again.',
  cancelled: 'Run it again.',
  unavailable: null,
  server: null,
  internal: DOCTOR,
};

/** What a person should do about an error that was written for an agent. */
export function cliHint(error: SandboxError): string {
  return HINTS[error.code] ?? error.hint;
}
