import { SandboxError } from '../../../shared/errors.ts';
import type { NetworkPolicy } from '../../engine.ts';
import type { OciRuntime } from '../container/oci-runtime.ts';
import type { OciContext } from '../context.ts';

/** @throws `unsupported` for more than this host can give, `invalid_argument` for what makes no sense */
export function checkPolicy(
  context: Pick<OciContext, 'gateways'>,
  runtime: OciRuntime,
  policy: NetworkPolicy,
): void {
  context.gateways.compile(policy);
  if (policy.mode === 'deny-all' || runtime.egress) return;
  throw new SandboxError('unsupported', `Network policy "${policy.mode}" is not available here.`, {
    hint: 'Sandboxes on this machine have no network but loopback (`sandbox-mcp doctor` says why); say mode: deny-all.',
  });
}
