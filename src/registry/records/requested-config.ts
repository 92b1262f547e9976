/** The requested configuration of a sandbox, as stored in its ownership record. */
import type { CreateSandbox, EngineLimits, NetworkPolicy } from '../../engines/engine.ts';
import type { OwnershipRecord } from './sandbox-record.ts';

/**
 * A reference to a secret, alone or after a common authentication scheme; any other value may itself be a
 * secret.
 */
const REFERENCE = /^((Bearer|Basic|Token) )?\$\{secret:[A-Za-z0-9_]+\}$/i;
const MASK = '***';

/** What is shown of a sandbox when the engine does not know it yet, or no longer. */
export function requestedConfig(plan: CreateSandbox, limits: EngineLimits): OwnershipRecord['requested'] {
  const { runtime, timeoutMs, vcpus, ports, networkPolicy, source } = plan;
  return {
    runtime,
    memoryMb: Math.round(vcpus * limits.memoryMbPerVcpu),
    timeoutMs,
    ports,
    networkPolicy: requestedPolicy(networkPolicy),
    sourceSnapshotId: source?.type === 'snapshot' ? source.snapshotId : null,
  };
}

/** A network policy for storage in a record: header values are masked, except references to secrets. */
export function requestedPolicy(policy: NetworkPolicy): NetworkPolicy {
  if (policy.rules === undefined) return policy;
  return {
    ...policy,
    rules: policy.rules.map(({ headers, ...rule }) =>
      headers === undefined ? rule : { ...rule, headers: masked(headers) },
    ),
  };
}

function masked(headers: Record<string, string>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, REFERENCE.test(value) ? value : MASK]),
  );
}
