import type { ErrorCode, SandboxError } from '../../shared/errors.ts';

const LIST = 'Run `sandbox-mcp list` to see what there is.';
const DOCTOR = 'Run `sandbox-mcp doctor` to see whether this machine is in order.';

/** The next step for a person at a terminal, who has verbs and no tools; null if the error's own hint applies. */
const HINTS: Record<ErrorCode, string | null> = {
  invalid_argument: 'Run `sandbox-mcp --help` to see what there is.',
  not_found: LIST,
  conflict: LIST,
  permission: 'Run it as the user who started the server.',
  auth: null,
  rate_limit: 'Run it again in a little while.',
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
