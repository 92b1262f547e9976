import type { Policy, Verdict } from './policy.ts';

/** What is in force once a sandbox has moved as many bytes as its operator lets it: nothing passes any more. */
export function spentPolicy(maxBytes: number): Policy {
  const verdict: Verdict = {
    allowed: false,
    rule: `the sandbox has used up the ${maxBytes} bytes that --egress-max-bytes gives it`,
  };
  return {
    mode: 'deny-all',
    judgeName: () => verdict,
    forbids: () => verdict,
    judge: () => verdict,
    headers: { concern: () => false, headersFor: () => new Map() },
  };
}
