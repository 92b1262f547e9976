import type { SandboxHandle, SandboxView } from '../../src/registry/types.ts';
import { raceAbort, withTimeout } from '../common/with-timeout.ts';

/** Most sandboxes are gone by then, and the answer can say so. */
const MOMENT_MS = 1_500;

/**
 * Stops a sandbox and answers the state reached within `timeoutMs`, or within a moment where the caller does not block.
 * Once begun, a stop goes on: neither a cancelled call nor one that has been answered leaves a sandbox half stopped.
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
  // What has begun is told, also where the engine has not written it down yet.
  return view.status === 'running' ? { ...view, status: 'stopping' } : view;
}
