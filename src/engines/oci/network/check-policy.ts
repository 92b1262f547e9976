import { SandboxError } from '../../../shared/errors.ts';
import type { NetworkPolicy } from '../../engine.ts';
import type { OciRuntime } from '../container/oci-runtime.ts';
import type { OciContext } from '../context.ts';

/** @throws `unsupported` for a policy that this host cannot enforce, `invalid_argument` for an invalid one */
export function checkPolicy(
  context: Pick<OciContext, 'gateways'>,
  runtime: OciRuntime,
  policy: NetworkPolicy,
): void {
  context.gateways.compile(policy);
  if (policy.mode === 'deny-all' || runtime.egress) return;
  throw new SandboxError('unsupported', `Network policy "${policy.mode}" is not available here.`, {
    hint: 'Sandboxes on this machine have no network except loopback (`sandbox-mcp doctor` says why); use mode deny-all.',
  });
}
