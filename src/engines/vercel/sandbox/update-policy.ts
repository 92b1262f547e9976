import type { NetworkPolicy } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { masked, policyInForce, toSdkPolicy } from '../policy/network-policy.ts';
import { updateRecord } from '../state/sandbox-record.ts';
import { getSandbox, inSession, notRunning } from './get-sandbox.ts';

/**
 * Replaces the policy of a running sandbox. Vercel's firewall sets its headers.
 *
 * @throws SandboxError for an invalid policy, before any request; the platform's errors
 */
export async function updatePolicy(
  context: VercelContext,
  sandboxId: string,
  policy: NetworkPolicy,
  signal: AbortSignal,
): Promise<NetworkPolicy> {
  const doing = 'change the network policy';
  context.readPolicy(policy);
  const networkPolicy = toSdkPolicy(policy, context.secrets);
  const view = await getSandbox(context, sandboxId, signal);
  if (view.status !== 'running') throw notRunning(view, doing);
  const requested = masked(policy);
  return inSession(context, sandboxId, doing, signal, async (session) => {
    await session.update({ networkPolicy }, { signal });
    await updateRecord(context.layout, sandboxId, (record) => ({ ...record, policy: requested }));
    return policyInForce(session.networkPolicy, requested, context.cloud.unknownParts.of(session.sessionId));
  });
}
