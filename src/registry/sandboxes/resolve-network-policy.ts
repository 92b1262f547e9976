import type { EngineLimits, NetworkPolicy } from '../../engines/engine.ts';
import { SandboxError } from '../../shared/errors.ts';

/**
 * Checks a requested policy against what the engine enforces here.
 *
 * @param tool the tool that the hints name
 * @throws SandboxError `invalid_argument` for lists that the mode would ignore, `unsupported` for the mode
 */
export function resolveNetworkPolicy(
  policy: NetworkPolicy,
  limits: EngineLimits,
  tool: 'sandbox_create' | 'sandbox_update_network_policy',
): NetworkPolicy {
  requireConsistent(policy, limits, tool);
  if (!limits.networkModes.includes(policy.mode)) {
    const modes = limits.networkModes.join(', ');
    throw new SandboxError(
      'unsupported',
      `network_policy.mode is ${policy.mode}; this engine supports ${modes || 'none'}.`,
      {
        hint: `Call ${tool} with one of these network_policy.mode values: ${modes || 'none; leave network_policy out'}.`,
        details: { mode: policy.mode, network_modes: limits.networkModes },
      },
    );
  }
  return policy;
}

/** A caller who lists domains expects them to apply, so a mode that ignores the lists is refused. */
function requireConsistent(policy: NetworkPolicy, limits: EngineLimits, tool: string): void {
  if (policy.mode === 'custom') return;
  const { allow, subnets, rules } = policy;
  const lists = { allow, 'subnets.allow': subnets?.allow, 'subnets.deny': subnets?.deny, rules };
  const given = Object.entries(lists).flatMap(([name, list]) =>
    list === undefined || list.length === 0 ? [] : [`network_policy.${name}`],
  );
  if (given.length === 0) return;
  const custom = limits.networkModes.includes('custom') ? 'with network_policy.mode "custom", or ' : '';
  throw new SandboxError(
    'invalid_argument',
    `network_policy.mode ${policy.mode} cannot be combined with ${given.join(', ')}, which it would ignore.`,
    {
      hint: `Call ${tool} ${custom}without ${given.join(', ')}.`,
      details: { mode: policy.mode, given },
    },
  );
}
