/** Removes a sandbox from the cloud. */
import type { Sandbox as SdkSandbox } from '@vercel/sandbox';
import type { VercelContext } from '../context.ts';
import { isNotFound, isSandboxMissing, isStopped } from '../http/api-errors.ts';
import { hasEnded } from './sandbox-view.ts';

/**
 * Stops a sandbox if it still runs and deletes all its data in the cloud except its snapshots. A missing
 * sandbox is not an error. Returns whether there was one.
 *
 * @throws the platform's error; the sandbox may still be running then
 */
export async function removeFromCloud(
  context: VercelContext,
  sandboxId: string,
  signal: AbortSignal,
): Promise<boolean> {
  const { cloud } = context;
  let sandbox: SdkSandbox;
  try {
    sandbox = await cloud.get(sandboxId, signal);
  } catch (error) {
    if (isSandboxMissing(error)) return false;
    throw error;
  }
  cloud.forget(sandboxId);
  await stopFirst(sandbox, signal);
  try {
    await sandbox.delete({ signal });
    return true;
  } catch (error) {
    // The platform may also return 410 for a sandbox that is stopping or stopped, and that it keeps.
    if (isNotFound(error)) return false;
    throw error;
  }
}

/** Stops a sandbox if it is running. */
export async function stopInCloud(
  { cloud }: VercelContext,
  sandboxId: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await stopFirst(await cloud.get(sandboxId, signal), signal);
  } catch (error) {
    if (!isSandboxMissing(error)) throw error;
  }
  cloud.forget(sandboxId);
}

async function stopFirst(sandbox: SdkSandbox, signal: AbortSignal): Promise<void> {
  const session = sandbox.currentSession();
  if (hasEnded(session)) return;
  try {
    await session.stop({ signal });
  } catch (error) {
    if (!isStopped(error) && !isNotFound(error)) throw error;
  }
}
