import { SandboxError } from '../../../shared/errors.ts';
import type { NetworkPolicy } from '../../engine.ts';
import type { OciRuntime } from '../container/oci-runtime.ts';
import type { OciContext } from '../context.ts';

/** @throws `unsupported` for a policy that this host cannot enforce, `invalid_argument` for an invalid one */
export function checkPolicy(
  context: { readonly gateways: Pick<OciContext['gateways'], 'compile'> },
  runtime: Pick<OciRuntime, 'egress'>,
  policy: NetworkPolicy,
): void {
  context.gateways.compile(policy);
  requireEffects(policy);
  if (policy.mode === 'deny-all' || runtime.egress) return;
  throw new SandboxError('unsupported', `Network policy "${policy.mode}" is not available here.`, {
    hint: 'Sandboxes on this machine have no network except loopback (`sandbox-mcp doctor` says why); use mode deny-all.',
  });
}

/** The gateway sets headers; it neither forwards requests elsewhere nor answers them itself. */
function requireEffects({ rules = [] }: NetworkPolicy): void {
  for (const { domain, forwardUrl, response } of rules) {
    const field = forwardUrl !== undefined ? 'forward_url' : response !== undefined ? 'response' : null;
    if (field === null) continue;
    throw new SandboxError(
      'unsupported',
      `network_policy.rules: the oci engine cannot ${field === 'response' ? 'answer' : 'forward'} requests to ${domain} itself (${field}).`,
      {
        hint:
          field === 'response'
            ? 'Leave the domain out of allow and rules to refuse all of its requests; the vercel engine has response.'
            : 'Leave forward_url out, and let the program use the proxy itself; the vercel engine has forward_url.',
        details: { domain, field },
      },
    );
  }
}
