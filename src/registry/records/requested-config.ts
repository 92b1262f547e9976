/** What was asked for of a sandbox, fit to be kept in its ownership record. */
import type { CreateSandbox, EngineLimits, NetworkPolicy } from '../../engines/engine.ts';
import type { OwnershipRecord } from './sandbox-record.ts';

/** A reference to a secret, alone or after the usual scheme; anything else may be a secret itself. */
const REFERENCE = /^((Bearer|Basic|Token) )?\$\{secret:[A-Za-z0-9_]+\}$/i;
const MASK = '***';

/** The part of the record that tells a sandbox while, and where, the engine cannot. */
export function askedOf(plan: CreateSandbox, limits: EngineLimits): OwnershipRecord['asked'] {
  const { runtime, timeoutMs, vcpus, ports, networkPolicy, source } = plan;
  return {
    runtime,
    memoryMb: Math.round(vcpus * limits.memoryMbPerVcpu),
    timeoutMs,
    ports,
    networkPolicy: withoutValues(networkPolicy),
    sourceSnapshotId: source?.type === 'snapshot' ? source.snapshotId : null,
  };
}

function withoutValues(policy: NetworkPolicy): NetworkPolicy {
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
