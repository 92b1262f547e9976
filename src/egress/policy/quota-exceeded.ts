import type { Decision, Policy } from './policy.ts';

/** The policy once a sandbox has used up its byte quota: nothing passes any more. */
export function quotaExceededPolicy(maxBytes: number): Policy {
  const decision: Decision = {
    allowed: false,
    rule: `the sandbox has used up its network quota of ${maxBytes} bytes (--egress-max-bytes)`,
  };
  return {
    mode: 'deny-all',
    evaluateName: () => decision,
    forbids: () => decision,
    evaluate: () => decision,
    headers: { appliesTo: () => false, headersFor: () => new Map() },
  };
}
