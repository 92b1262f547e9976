import type { SandboxStatus } from '../../src/engines/engine.ts';
import type { SandboxHandle, SandboxView } from '../../src/registry/types.ts';
import { raceAbort, sleep, withTimeout } from '../../src/shared/async/with-timeout.ts';
import { SandboxError } from '../../src/shared/errors.ts';

export const STATUSES = [
  'pending',
  'running',
  'snapshotting',
  'stopping',
  'stopped',
  'aborted',
  'failed',
] as const satisfies SandboxStatus[];

/** The statuses that can follow each status. */
const LATER: Record<SandboxStatus, readonly SandboxStatus[]> = {
  pending: ['running', 'snapshotting', 'stopping', 'stopped', 'aborted', 'failed'],
  running: ['snapshotting', 'stopping', 'stopped', 'aborted'],
  snapshotting: ['stopping', 'stopped', 'aborted'],
  stopping: ['stopped', 'aborted'],
  stopped: [],
  aborted: [],
  failed: [],
};

export interface StatusWait {
  status: SandboxStatus;
  timeoutMs: number;
  pollIntervalMs: number;
}

/**
 * Polls the sandbox until it has the status, for up to `timeoutMs` milliseconds. Null if it does not get
 * there in time.
 *
 * @throws `conflict` at once for a status that it can no longer reach
 */
export async function waitForStatus(
  handle: Pick<SandboxHandle, 'view'>,
  wait: StatusWait,
  signal: AbortSignal,
): Promise<SandboxView | null> {
  return withTimeout(wait.timeoutMs, signal, async (limited) => {
    for (;;) {
      // An engine may be slow to notice that the time is up.
      const view = await raceAbort(handle.view(limited), limited);
      if (view.status === wait.status) return view;
      requirePossible(view, wait.status);
      await sleep(wait.pollIntervalMs, limited);
    }
  });
}

function requirePossible(view: SandboxView, wanted: SandboxStatus): void {
  if (LATER[view.status].includes(wanted)) return;
  const over = LATER[view.status].length === 0;
  throw new SandboxError(
    'conflict',
    `Sandbox ${view.sandboxId} is ${view.status}; it can no longer become ${wanted}.${reasonOf(view)}`,
    {
      hint: over
        ? 'Call sandbox_create for a new sandbox; sandbox_get says why this one ended.'
        : 'Call sandbox_get to see its state.',
      details: { sandbox_id: view.sandboxId, status: view.status },
    },
  );
}

function reasonOf({ statusReason }: SandboxView): string {
  return statusReason === null ? '' : ` Reason: ${statusReason}`;
}
