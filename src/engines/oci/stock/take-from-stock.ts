import { throwIfCancelled } from '../../../shared/errors.ts';
import type { CreateSandbox, Sandbox } from '../../engine.ts';
import type { OciContext } from '../context.ts';
import { viewOf } from '../sandbox/sandbox-view.ts';
import { setDeadline } from '../sandbox/set-deadline.ts';
import { updateRecord } from '../state/sandbox-record.ts';

/** What a sandbox of the stock gets besides the request's settings. */
export interface LateSettings {
  runtime: string;
  diskMb: number | null;
}

/** Whether a sandbox of the stock can become what is requested, apart from its shape. */
export function suitsStock(
  { runtime, source, workspace, volumeMounts = [] }: Omit<CreateSandbox, 'sandboxId'>,
  hostRuntime: string,
): boolean {
  const isHost = runtime === null || runtime === hostRuntime;
  return isHost && source === null && workspace === undefined && volumeMounts.length === 0;
}

/**
 * Makes a reserved sandbox of the stock the requested one. Null if the id is not of the stock. After a
 * failure the caller cleans up; the sandbox belongs to it from the beginning.
 */
export async function takeFromStock(
  context: OciContext,
  request: CreateSandbox,
  { runtime, diskMb }: LateSettings,
  signal: AbortSignal,
): Promise<Sandbox | null> {
  const { sandboxId, env, ports, interactive, networkPolicy, timeoutMs } = request;
  const stocked = context.stock.claim(sandboxId);
  if (stocked === null) return null;
  throwIfCancelled(signal);
  const host = await context.host();
  const paths = host.layout.sandbox(sandboxId);
  const createdAt = Date.now();
  const remainingMs = await setDeadline(paths.agentSocket, timeoutMs, signal);
  const record = await updateRecord(host.layout, sandboxId, (present) => {
    // Somebody has ended it.
    if (present.status !== 'pending') throw new Error(`it is ${present.status}`);
    return {
      ...present,
      ...{ runtime, env, ports, interactive, networkPolicy, timeoutMs, diskMb, createdAt },
      status: 'running',
      worker: null,
      expiresAt: Date.now() + remainingMs,
    };
  });
  // Until now it reached nothing.
  context.gateways.enforce(sandboxId, networkPolicy);
  if ((await context.runtime(signal)).egress)
    await context.gateways.open(host, sandboxId, paths, networkPolicy);
  await context.disk.watchNew(sandboxId, diskMb);
  context.expiry.watch(sandboxId, record.expiresAt);
  await context.forwards.open(paths.agentSocket, record);
  throwIfCancelled(signal);
  if (request.keep) await context.owners.release(sandboxId);
  return viewOf(record, context.forwards);
}
