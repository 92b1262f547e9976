/** Makes the sandboxes of the stock. */
import { throwIfCancelled } from '../../../shared/errors.ts';
import { isProcessAlive } from '../../../shared/process-identity.ts';
import { removeSandbox } from '../cleanup/cleanup.ts';
import { boot } from '../container/boot.ts';
import { newRecord } from '../container/new-record.ts';
import type { OciContext } from '../context.ts';
import { MEMORY_MB_PER_VCPU } from '../engine-limits.ts';
import { type SandboxRecord, STOCK_RUNTIME, writeRecord } from '../state/sandbox-record.ts';
import { claimWithLayers } from '../storage/snapshot-restore.ts';
import type { StockMaker, StockShape } from './sandbox-stock.ts';

/** A sandbox that nobody has taken by then ends itself. */
const LIFETIME_MS = 86_400_000;

/** @param context read when the first sandbox is made */
export function stockMaker(context: () => OciContext): StockMaker {
  return {
    boot: (sandboxId, shape, signal, onEnd) => bootAhead(context(), sandboxId, shape, signal, onEnd),
    remove: (sandboxId) => removeStocked(context(), sandboxId),
    isAlive: ({ init }) => init !== null && isProcessAlive(init),
  };
}

/**
 * Boots a sandbox with the host's files, which reaches no network. Its record names this process before
 * anything else of it exists, so recovery removes it should this process die; its processes then end by
 * themselves.
 */
async function bootAhead(
  context: OciContext,
  sandboxId: string,
  { vcpus }: StockShape,
  signal: AbortSignal,
  onEnd: () => void,
): Promise<SandboxRecord> {
  const host = await context.host();
  const runtime = await context.runtime(signal);
  throwIfCancelled(signal);
  const drafted = newRecord(host, {
    sandboxId,
    runtime: STOCK_RUNTIME,
    vcpus,
    memoryMb: Math.round(vcpus * MEMORY_MB_PER_VCPU),
    timeoutMs: LIFETIME_MS,
    ports: [],
    env: {},
    networkPolicy: { mode: 'deny-all' },
  });
  const { paths, record } = await claimWithLayers(host, drafted);
  const { owner, init, cgroups, enforced, egress } = await boot(host, runtime, paths, record, signal);
  context.owners.add(sandboxId, owner);
  // The agent is at the other end.
  owner.once('close', onEnd);
  throwIfCancelled(signal);
  const stocked: SandboxRecord = { ...record, init, cgroups, enforced };
  await writeRecord(paths, stocked);
  if (egress) await context.gateways.open(host, sandboxId, paths, record.networkPolicy);
  throwIfCancelled(signal);
  return stocked;
}

/** Removes a sandbox that nobody has taken. */
async function removeStocked(context: OciContext, sandboxId: string): Promise<void> {
  context.owners.close(sandboxId);
  await Promise.all([context.gateways.close(sandboxId), context.forwards.close(sandboxId)]);
  await removeSandbox(await context.host(), sandboxId);
}
