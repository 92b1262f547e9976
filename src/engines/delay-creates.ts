import { onAbort } from '../shared/async/on-abort.ts';
import { throwIfCancelled } from '../shared/errors.ts';
import type { Engine } from './engine.ts';

/**
 * The same engine, but creates wait until `ready` has settled, successfully or not: by then recovery has
 * cleaned up after dead servers. All other calls pass straight through.
 */
export function delayCreates(engine: Engine, ready: () => Promise<unknown>): Engine {
  return {
    name: engine.name,
    create: async (request, signal, report, onUploading) => {
      await waitUntilDone(ready(), signal);
      return engine.create(request, signal, report, onUploading);
    },
    get: (sandboxId, signal) => engine.get(sandboxId, signal),
    list: (query, signal) => engine.list(query, signal),
    extendTimeout: (sandboxId, durationMs, signal) => engine.extendTimeout(sandboxId, durationMs, signal),
    stop: (sandboxId, cause, signal) => engine.stop(sandboxId, cause, signal),
    forget: (sandboxId, signal) => engine.forget(sandboxId, signal),
    recover: (signal) => engine.recover(signal),
    limits: (signal) => engine.limits(signal),
    runtimes: (signal) => engine.runtimes(signal),
    close: () => engine.close(),
    commands: engine.commands,
    files: engine.files,
    ...(engine.ports && { ports: engine.ports }),
    ...(engine.ownership && { ownership: engine.ownership }),
    ...(engine.stock && { stock: engine.stock }),
    ...(engine.snapshots && { snapshots: engine.snapshots }),
    ...(engine.shells && { shells: engine.shells }),
    ...(engine.networkPolicies && { networkPolicies: engine.networkPolicies }),
    ...(engine.sources && { sources: engine.sources }),
    ...(engine.volumes && { volumes: engine.volumes }),
    ...(engine.images && { images: engine.images }),
    ...(engine.regions && { regions: engine.regions }),
    ...(engine.persistence && { persistence: engine.persistence }),
    ...(engine.workspaces && { workspaces: engine.workspaces }),
    ...(engine.git && { git: engine.git }),
  };
}

/** Waits for `work` to settle, or for the caller to cancel. */
async function waitUntilDone(work: Promise<unknown>, signal: AbortSignal): Promise<void> {
  throwIfCancelled(signal);
  let release = (): void => {};
  const aborted = new Promise<void>((resolve) => {
    release = onAbort(signal, resolve);
  });
  await Promise.race([Promise.allSettled([work]), aborted]);
  release();
  throwIfCancelled(signal);
}
