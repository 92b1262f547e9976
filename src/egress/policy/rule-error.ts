import { SandboxError } from '../../shared/errors.ts';

/** The error for an invalid rule. @param problem without a full stop */
export function ruleError(problem: string, hint: string): SandboxError {
  return new SandboxError('invalid_argument', `network_policy.rules: ${problem}.`, { hint });
}
