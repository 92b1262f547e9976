import type { NetworkPolicy } from '../../engines/engine.ts';
import { SandboxError } from '../../shared/errors.ts';
import type { RegistryContext } from '../context.ts';
import { requestedPolicy } from '../records/requested-config.ts';
import { resolveNetworkPolicy } from './resolve-network-policy.ts';

/**
 * Replaces the network policy of a running sandbox, after the same checks as a create, and records it as the
 * requested one. `requireRunning` rejects unless the sandbox is running. Updates of one sandbox run one after
 * another, so that the record ends with the policy in force.
 *
 * @throws SandboxError `unsupported`, `invalid_argument`, `conflict` or what the engine throws
 */
export async function updateNetworkPolicy(
  context: RegistryContext,
  sandboxId: string,
  policy: NetworkPolicy,
  requireRunning: () => Promise<unknown>,
  signal: AbortSignal,
): Promise<void> {
  const { engine, store, lock, log } = context;
  const { networkPolicies } = engine;
  if (networkPolicies === undefined) {
    throw new SandboxError('unsupported', `The ${engine.name} engine cannot change a network policy.`, {
      hint: 'Call sandbox_create with the network_policy you need.',
    });
  }
  const resolved = resolveNetworkPolicy(policy, await engine.limits(signal), 'sandbox_update_network_policy');
  await lock.run(`network policy of ${sandboxId}`, async () => {
    await requireRunning();
    await networkPolicies.update(sandboxId, resolved, signal);
    try {
      await store.update(sandboxId, (record) =>
        record.requested === undefined
          ? record
          : { ...record, requested: { ...record.requested, networkPolicy: requestedPolicy(resolved) } },
      );
    } catch (error) {
      // The policy is in force; the record only stores what was requested.
      log.warn({ sandbox_id: sandboxId, err: error }, 'Could not record a network policy.');
    }
  });
}
