import type { z } from 'zod';
import type { CreateRequest } from '../../src/registry/types.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { type NetworkPolicyArgument, toNetworkPolicy } from '../common/network-policy.ts';
import { execTooBig, fitsExec } from '../common/schemas.ts';
import { type source, toSource } from './sandbox-source.ts';
import { toVolumes, type volumes } from './sandbox-volumes.ts';

interface CreateArguments {
  source?: z.output<typeof source> | undefined;
  runtime?: string | undefined;
  ports?: number[] | undefined;
  timeout_ms?: number | undefined;
  resources?: { vcpus?: number | undefined } | undefined;
  env?: Record<string, string> | undefined;
  network_policy?: NetworkPolicyArgument | undefined;
  interactive?: boolean | undefined;
  keep?: boolean | undefined;
  name?: string | undefined;
  regions?: string[] | undefined;
  keep_snapshots?: number | undefined;
  volumes?: z.output<typeof volumes> | undefined;
}

/**
 * The arguments of `sandbox_create` as a request to the registry; null means the default.
 *
 * @throws `invalid_argument` for values that contradict each other
 */
export function toCreateRequest(args: CreateArguments): CreateRequest {
  if (!fitsExec({ cmd: '', env: args.env })) {
    throw new SandboxError('invalid_argument', execTooBig('`env` takes'));
  }
  return {
    source: args.source === undefined ? null : toSource(args.source),
    runtime: args.runtime ?? null,
    ports: args.ports ?? [],
    timeoutMs: args.timeout_ms ?? null,
    vcpus: args.resources?.vcpus ?? null,
    env: args.env ?? {},
    networkPolicy: args.network_policy === undefined ? null : toNetworkPolicy(args.network_policy),
    ...(args.volumes !== undefined && { volumes: toVolumes(args.volumes) }),
    interactive: args.interactive ?? false,
    keep: args.keep ?? false,
    ...(args.name !== undefined && { name: args.name }),
    ...(args.regions !== undefined && { regions: args.regions }),
    ...(args.keep_snapshots !== undefined && { keepSnapshots: args.keep_snapshots }),
  };
}
