import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import type { NetworkPolicy } from '../../engine.ts';
import type { OciContext } from '../context.ts';
import { checkPolicy } from '../network/check-policy.ts';
import { updateRecord } from '../state/sandbox-record.ts';
import { reconcileRecord } from './reconcile.ts';

/**
 * Changes the network policy of a running sandbox. When this resolves, it is in force and connections that it
 * does not allow are closed. Starts the gateway here unless another process runs it.
 *
 * @throws `conflict` if the sandbox has ended, `invalid_argument` or `unsupported` for the policy
 */
export async function updateNetworkPolicy(
  context: OciContext,
  sandboxId: string,
  policy: NetworkPolicy,
  signal: AbortSignal,
): Promise<NetworkPolicy> {
  const runtime = await context.runtime(signal);
  checkPolicy(context, runtime, policy);
  const host = await context.host();
  const { status } = await reconcileRecord(context, sandboxId);
  if (status !== 'running') {
    throw new SandboxError('conflict', `Sandbox ${sandboxId} is ${status}; its network cannot be changed.`, {
      hint: 'Call sandbox_create with the network_policy for a new one.',
    });
  }
  throwIfCancelled(signal);
  const record = await updateRecord(host.layout, sandboxId, (present) => ({
    ...present,
    networkPolicy: policy,
  }));
  // Gateways of other processes notice the changed record; this one applies it now.
  context.gateways.enforce(sandboxId, record.networkPolicy);
  if (runtime.egress) {
    await context.gateways.open(host, sandboxId, host.layout.sandbox(sandboxId), record.networkPolicy);
  }
  return record.networkPolicy;
}
