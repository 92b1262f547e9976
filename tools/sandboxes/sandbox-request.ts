import type { z } from 'zod';
import type { Engine } from '../../src/engines/engine.ts';
import type { CreateRequest } from '../../src/registry/types.ts';
import { SandboxError } from '../../src/shared/errors.ts';
import { type NetworkPolicyArgument, toNetworkPolicy } from '../common/network-policy.ts';
import { execTooBig, fitsExec } from '../common/schemas.ts';
import { type source, toSource } from './sandbox-source.ts';

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
}

/**
 * What `sandbox_create` asks of the registry; null is where it decides.
 *
 * @throws `invalid_argument` for values that contradict each other, `unsupported` for what the engine cannot do
 */
export function requestOf(args: CreateArguments, engine: Engine): CreateRequest {
  if (!fitsExec({ cmd: '', env: args.env })) {
    throw new SandboxError('invalid_argument', execTooBig('`env` takes'));
  }
  if (args.interactive === true && engine.shells?.interactiveUrl === undefined) {
    const instead = engine.shells === undefined ? 'sandbox_run_command for each command' : 'sandbox_shell';
    throw new SandboxError('unsupported', `Engine ${engine.name} opens no interactive port.`, {
      hint: `Call sandbox_create without interactive, then ${instead}.`,
    });
  }
  return {
    source: args.source === undefined ? null : toSource(args.source, engine),
    runtime: args.runtime ?? null,
    ports: args.ports ?? [],
    timeoutMs: args.timeout_ms ?? null,
    vcpus: args.resources?.vcpus ?? null,
    env: args.env ?? {},
    networkPolicy: args.network_policy === undefined ? null : toNetworkPolicy(args.network_policy),
    interactive: args.interactive ?? false,
    keep: args.keep ?? false,
  };
}
