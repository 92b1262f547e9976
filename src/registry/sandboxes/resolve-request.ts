import type { CreateSandbox, Engine, EngineLimits, NetworkPolicy } from '../../engines/engine.ts';
import { SandboxError } from '../../shared/errors.ts';
import type { CreateRequest } from '../types.ts';
import { planSource } from './resolve-source.ts';

const DEFAULT_TIMEOUT_MS = 300_000;

/**
 * Fills in the defaults of a request and refuses what this engine or the operator does not grant.
 *
 * @param maxLifetimeMs the operator's limit on a sandbox's whole life
 * @throws SandboxError `invalid_argument`, `unsupported` or `limit_exceeded`
 */
export function planSandbox(
  sandboxId: string,
  request: CreateRequest,
  engine: Engine,
  limits: EngineLimits,
  maxLifetimeMs: number,
): CreateSandbox {
  requireCapabilities(request, engine);
  return {
    sandboxId,
    runtime: request.runtime,
    ports: request.ports,
    timeoutMs: planTimeout(request.timeoutMs, maxLifetimeMs),
    vcpus: planVcpus(request.vcpus, limits),
    env: request.env,
    networkPolicy: planNetworkPolicy(request.networkPolicy, limits),
    source: planSource(request.source),
    interactive: request.interactive,
  };
}

function planTimeout(timeoutMs: number | null, maxLifetimeMs: number): number {
  if (timeoutMs === null) return Math.min(DEFAULT_TIMEOUT_MS, maxLifetimeMs);
  if (!Number.isSafeInteger(timeoutMs) || timeoutMs <= 0) {
    throw new SandboxError(
      'invalid_argument',
      `timeout_ms is ${timeoutMs}; it has to be a whole number above 0.`,
    );
  }
  if (timeoutMs > maxLifetimeMs) {
    throw new SandboxError(
      'limit_exceeded',
      `timeout_ms is ${timeoutMs}; a sandbox lives at most ${maxLifetimeMs} ms.`,
      {
        hint: `Call sandbox_create with timeout_ms of at most ${maxLifetimeMs}.`,
        details: { timeout_ms: timeoutMs, max_lifetime_ms: maxLifetimeMs },
      },
    );
  }
  return timeoutMs;
}

function planVcpus(vcpus: number | null, limits: EngineLimits): number {
  if (vcpus === null) return limits.defaultVcpus;
  if (!Number.isSafeInteger(vcpus) || vcpus < 1 || vcpus > limits.maxVcpus) {
    throw new SandboxError(
      'invalid_argument',
      `resources.vcpus is ${vcpus}; a sandbox here has 1 to ${limits.maxVcpus}.`,
      {
        hint: `Call sandbox_create with resources.vcpus from 1 to ${limits.maxVcpus}, or leave it out.`,
        details: { vcpus, max_vcpus: limits.maxVcpus },
      },
    );
  }
  return vcpus;
}

function planNetworkPolicy(policy: NetworkPolicy | null, limits: EngineLimits): NetworkPolicy {
  if (policy === null) return limits.defaultNetworkPolicy;
  requireConsistent(policy, limits);
  if (!limits.networkModes.includes(policy.mode)) {
    const modes = limits.networkModes.join(', ');
    throw new SandboxError(
      'unsupported',
      `network_policy.mode is ${policy.mode}; this engine has ${modes || 'none'}.`,
      {
        hint: `Call sandbox_create with a network_policy.mode of: ${modes || 'none; leave network_policy out'}.`,
        details: { mode: policy.mode, network_modes: limits.networkModes },
      },
    );
  }
  return policy;
}

/** What would be ignored is refused: a caller who lists domains means them. */
function requireConsistent(policy: NetworkPolicy, limits: EngineLimits): void {
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
    `network_policy.mode ${policy.mode} contradicts ${given.join(', ')}, which it would leave without effect.`,
    {
      hint: `Call sandbox_create ${custom}without ${given.join(', ')}.`,
      details: { mode: policy.mode, given },
    },
  );
}

function requireCapabilities(request: CreateRequest, engine: Engine): void {
  const source = request.source;
  if (source !== null && !(engine.sources?.types.includes(source.type) ?? false)) {
    throw unsupported(
      engine,
      `a source of type ${source.type}`,
      'source',
      'then bring files in with sandbox_upload_file',
    );
  }
  if (request.ports.length > 0 && engine.ports === undefined) {
    throw unsupported(
      engine,
      'exposed ports',
      'ports',
      'and reach the service from inside with sandbox_run_command',
    );
  }
  if (request.interactive && engine.shells?.interactiveUrl === undefined) {
    throw unsupported(engine, 'terminals for people', 'interactive', 'and use sandbox_run_command');
  }
}

function unsupported(engine: Engine, what: string, argument: string, instead: string): SandboxError {
  return new SandboxError('unsupported', `The ${engine.name} engine has no ${what}.`, {
    hint: `Call sandbox_create without ${argument}, ${instead}.`,
    details: { engine: engine.name, argument },
  });
}
