import type { SandboxHandle, SandboxView } from '../../src/registry/types.ts';
import { raceAbort, withTimeout } from '../../src/shared/async/with-timeout.ts';

/** Most sandboxes have stopped by then, and the result can say so. */
const MOMENT_MS = 1_500;

/**
 * Stops a sandbox and returns the state reached within `timeoutMs`, or within a moment if the caller does not
 * block. Once started, a stop continues, so that neither a cancelled call nor one answered early leaves a
 * sandbox half stopped.
 */
export async function stopSandbox(
  handle: SandboxHandle,
  request: { blocking: boolean; timeoutMs: number },
  signal: AbortSignal,
): Promise<SandboxView> {
  const stopping = handle.stop(new AbortController().signal);
  const limitMs = request.blocking ? request.timeoutMs : MOMENT_MS;
  const stopped = await withTimeout(limitMs, signal, (limited) => raceAbort(stopping, limited));
  if (stopped !== null) return stopped;
  const view = await handle.view(signal);
  // The stop has started, even if the engine has not recorded it yet.
  return view.status === 'running' ? { ...view, status: 'stopping' } : view;
}
