import { SandboxError, throwIfCancelled } from '../../shared/errors.ts';
import type { CreateSandbox, NetworkPolicy, Sandbox } from '../engine.ts';
import { boot } from './boot.ts';
import type { OciContext } from './context.ts';
import { directoryMode, newRecord } from './new-record.ts';
import type { OciRuntime } from './oci-runtime.ts';
import { removeUnrecorded } from './remains.ts';
import { resolveRuntime } from './runtimes.ts';
import { claimDirectory, writeRecord } from './sandbox-record.ts';
import { viewOf } from './sandbox-view.ts';
import { claimOnSnapshot, sourceSnapshot } from './snapshot-source.ts';
import { checkSource, fetchedSource } from './source/fill.ts';
import { endedMeanwhile, endMeanwhile, filledRecord, runningRecord } from './source/pending.ts';

export const MEMORY_MB_PER_VCPU = 2_048;

/** @throws `unsupported` for more than this host can give, `invalid_argument` for what makes no sense */
export function checkPolicy(context: OciContext, runtime: OciRuntime, policy: NetworkPolicy): void {
  context.gateways.compile(policy);
  if (policy.mode === 'deny-all' || runtime.egress) return;
  throw new SandboxError('unsupported', `Network policy "${policy.mode}" is not available here.`, {
    hint: 'Sandboxes on this machine have no network but loopback (`sandbox-mcp doctor` says why); say mode: deny-all.',
  });
}

function checkRequest(context: OciContext, request: CreateSandbox): void {
  // Filled in when a program starts; what cannot be is told now.
  context.secrets.fillEnvironment(request.env);
  if (request.interactive) {
    throw new SandboxError('unsupported', 'interactive: true is not available here.', {
      hint: 'Leave interactive out.',
    });
  }
}

/** The engine's own words stay in the log: they may name paths of this host. */
function bootFailure(error: unknown): unknown {
  if (error instanceof SandboxError) return error;
  return new SandboxError('unavailable', 'The sandbox could not be started on this machine.', {
    hint: 'Run `sandbox-mcp doctor` on this machine; the server log has the runtime’s own words.',
    cause: error,
  });
}

/** Makes a sandbox. On failure and on abort nothing of it is left. */
export async function createSandbox(
  context: OciContext,
  request: CreateSandbox,
  signal: AbortSignal,
  report?: (line: string) => void,
): Promise<Sandbox> {
  checkRequest(context, request);
  const source = fetchedSource(request);
  const host = await context.host();
  const snapshot =
    request.source?.type === 'snapshot'
      ? await sourceSnapshot(host, request.source.snapshotId, request.runtime)
      : null;
  const [runtime, runtimeName] = await Promise.all([
    context.runtime(signal),
    resolveRuntime(snapshot?.runtime ?? request.runtime),
  ]);
  checkPolicy(context, runtime, request.networkPolicy);
  if (source !== null) checkSource(context, runtime, source, request.networkPolicy);
  throwIfCancelled(signal);
  const record = newRecord(host, {
    sandboxId: request.sandboxId,
    runtime: runtimeName,
    vcpus: request.vcpus,
    memoryMb: Math.round(request.vcpus * MEMORY_MB_PER_VCPU),
    timeoutMs: request.timeoutMs,
    ports: request.ports,
    env: request.env,
    ...(snapshot && {
      sourceSnapshotId: snapshot.snapshotId,
      etcTemplate: snapshot.etcTemplate,
      ground: { layers: snapshot.layers, owners: snapshot.owners },
    }),
    networkPolicy: request.networkPolicy,
  });
  const paths =
    snapshot === null
      ? await claimDirectory(host.layout, record, directoryMode(host))
      : await claimOnSnapshot(host, snapshot.snapshotId, record);
  try {
    const booted = await boot(host, runtime, paths, record, signal);
    throwIfCancelled(signal);
    const expiresAt = Date.now() + booted.remainingMs;
    const { init, cgroups, enforced } = booted;
    const alive = { ...record, init, cgroups, enforced, expiresAt };
    const running = source === null ? runningRecord(alive) : alive;
    await writeRecord(paths, running);
    if (booted.egress) await context.gateways.open(host, record.sandboxId, paths, record.networkPolicy);
    context.expiry.watch(record.sandboxId, expiresAt);
    const filled =
      source === null ? running : await filledRecord(context, running, source, signal, report ?? null);
    await context.forwards.open(record.sandboxId, paths.agentSocket, record.ports);
    throwIfCancelled(signal);
    return viewOf(filled, context.forwards);
  } catch (error) {
    await Promise.all([context.gateways.close(record.sandboxId), context.forwards.close(record.sandboxId)]);
    const end = await endMeanwhile(host, record.sandboxId);
    // Whoever stopped it looks at its record.
    if (end?.stopCause !== 'requested' && end?.stopCause !== 'session_end') {
      await removeUnrecorded(host, record.sandboxId);
    }
    throw end === null || signal.aborted ? bootFailure(error) : endedMeanwhile(end);
  }
}
