import type { CreateSandbox, Engine, EngineLimits, SandboxSource } from '../../engines/engine.ts';
import { SandboxError } from '../../shared/errors.ts';
import type { CreateRequest } from '../types.ts';
import { resolveNetworkPolicy } from './resolve-network-policy.ts';
import { resolveSource } from './resolve-source.ts';

const DEFAULT_TIMEOUT_MS = 300_000;

/**
 * Fills in the defaults of a request and refuses what this engine or the operator does not grant.
 *
 * @param maxLifetimeMs the operator's limit on a sandbox's whole life
 * @throws SandboxError `invalid_argument`, `unsupported` or `limit_exceeded`
 */
export function resolveRequest(
  request: CreateRequest,
  engine: Engine,
  limits: EngineLimits,
  maxLifetimeMs: number,
): Omit<CreateSandbox, 'sandboxId'> {
  requireCapabilities(request, engine);
  return {
    runtime: request.runtime,
    ports: request.ports,
    timeoutMs: resolveTimeout(request.timeoutMs, maxLifetimeMs),
    vcpus: resolveVcpus(request.vcpus, limits),
    env: request.env,
    networkPolicy:
      request.networkPolicy === null
        ? limits.defaultNetworkPolicy
        : resolveNetworkPolicy(request.networkPolicy, limits, 'sandbox_create'),
    source: resolveSource(request.source),
    ...(request.workspace !== undefined && { workspace: request.workspace }),
    interactive: request.interactive,
    keep: request.keep,
    ...(request.regions !== undefined && { regions: request.regions }),
    ...(request.name !== undefined && {
      persistent: { name: request.name, keepSnapshots: request.keepSnapshots ?? null },
    }),
  };
}

function resolveTimeout(timeoutMs: number | null, maxLifetimeMs: number): number {
  if (timeoutMs === null) return Math.min(DEFAULT_TIMEOUT_MS, maxLifetimeMs);
  if (!Number.isSafeInteger(timeoutMs) || timeoutMs <= 0) {
    throw new SandboxError(
      'invalid_argument',
      `timeout_ms is ${timeoutMs}; it must be a positive whole number.`,
    );
  }
  if (timeoutMs > maxLifetimeMs) {
    throw new SandboxError(
      'limit_exceeded',
      `timeout_ms is ${timeoutMs}; the maximum lifetime of a sandbox is ${maxLifetimeMs} ms.`,
      {
        hint: `Call sandbox_create with timeout_ms of at most ${maxLifetimeMs}.`,
        details: { timeout_ms: timeoutMs, max_lifetime_ms: maxLifetimeMs },
      },
    );
  }
  return timeoutMs;
}

function resolveVcpus(vcpus: number | null, limits: EngineLimits): number {
  if (vcpus === null) return limits.defaultVcpus;
  if (!Number.isSafeInteger(vcpus) || vcpus < 1 || vcpus > limits.maxVcpus) {
    throw new SandboxError(
      'invalid_argument',
      `resources.vcpus is ${vcpus}; it must be from 1 to ${limits.maxVcpus}.`,
      {
        hint: `Call sandbox_create with resources.vcpus from 1 to ${limits.maxVcpus}, or leave it out.`,
        details: { vcpus, max_vcpus: limits.maxVcpus },
      },
    );
  }
  return vcpus;
}

function requireCapabilities(request: CreateRequest, engine: Engine): void {
  requireCloudArguments(request, engine);
  if (request.workspace !== undefined && engine.workspaces === undefined) {
    throw new SandboxError('unsupported', `The ${engine.name} engine has no workspaces.`, {
      hint: 'Call sandbox_create without workspace, then sandbox_upload_file.',
      details: { engine: engine.name, argument: 'workspace' },
    });
  }
  requireVolumes(request, engine);
  if (request.source !== null) requireSourceType(request.source.type, engine);
  if (request.ports.length > 0 && engine.ports === undefined) {
    throw new SandboxError('unsupported', `The ${engine.name} engine cannot expose ports.`, {
      hint: 'Call sandbox_create without ports, and access the service from within the sandbox with sandbox_run_command.',
      details: { engine: engine.name, argument: 'ports' },
    });
  }
  if (request.interactive && engine.shells?.interactiveUrl === undefined) {
    const instead = engine.shells === undefined ? 'sandbox_run_command for each command' : 'sandbox_shell';
    throw new SandboxError('unsupported', `The ${engine.name} engine does not support interactive ports.`, {
      hint: `Call sandbox_create without interactive, then ${instead}.`,
      details: { engine: engine.name, argument: 'interactive' },
    });
  }
}

/** Arguments that only an engine with regions or persistence can carry out. */
function requireCloudArguments({ name, keep, regions, keepSnapshots }: CreateRequest, engine: Engine): void {
  const refuse = (argument: string, problem: string, hint: string) =>
    new SandboxError('unsupported', `The ${engine.name} engine ${problem}.`, {
      hint,
      details: { engine: engine.name, argument },
    });
  if (regions !== undefined && engine.regions === undefined) {
    throw refuse(
      'regions',
      'runs sandboxes on this machine, in no region',
      'Call sandbox_create without regions.',
    );
  }
  if (name !== undefined && engine.persistence === undefined) {
    throw refuse(
      'name',
      'cannot resume a stopped sandbox by its name',
      'Call sandbox_create without name; sandbox_snapshot keeps the files, and sandbox_create restores them.',
    );
  }
  if (keepSnapshots !== undefined && engine.persistence === undefined) {
    throw refuse(
      'keep_snapshots',
      'keeps every snapshot until it expires',
      'Call sandbox_create without keep_snapshots; snapshot_delete removes a snapshot, expiration_ms lets it expire.',
    );
  }
  if (name !== undefined && !keep) throw needs(`name "${name}"`, 'keep: true', 'keep');
  if (keepSnapshots !== undefined && name === undefined)
    throw needs(`keep_snapshots ${keepSnapshots}`, 'name', 'name');
}

function needs(given: string, other: string, argument: string): SandboxError {
  return new SandboxError('invalid_argument', `${given} needs ${other}: only a named sandbox is resumed.`, {
    hint: `Call sandbox_create with ${other} too, or without it.`,
    details: { argument },
  });
}

function requireVolumes({ volumes = [] }: CreateRequest, engine: Engine): void {
  if (volumes.length === 0 || engine.volumes !== undefined) return;
  throw new SandboxError('unsupported', `The ${engine.name} engine has no named volumes.`, {
    hint: 'Call sandbox_create without volumes; sandbox_snapshot keeps the files, and sandbox_create restores them.',
    details: { engine: engine.name, argument: 'volumes' },
  });
}

function requireSourceType(type: SandboxSource['type'], engine: Engine): void {
  const available = engine.sources?.types ?? [];
  if (available.includes(type)) return;
  const others = available.length > 0 ? `it supports: ${available.join(', ')}` : 'it supports none';
  throw new SandboxError(
    'unsupported',
    `The ${engine.name} engine does not support ${type} sources; ${others}.`,
    {
      hint: 'Call sandbox_create without source, then add the files with sandbox_upload_file or sandbox_write_files.',
      details: { source: type, available },
    },
  );
}
