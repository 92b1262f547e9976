import { SandboxError } from '../../../shared/errors.ts';
import type { OciContext } from '../context.ts';
import { fromAgentError } from '../protocol/agent-errors.ts';
import { type SandboxRecord, updateRecord } from '../state/sandbox-record.ts';
import { diagnoseDisconnect } from './agent-disconnect.ts';
import { reconcileRecord } from './reconcile.ts';
import { remainingTime, setDeadline } from './set-deadline.ts';

/**
 * Extends the deadline of a running sandbox, in the agent first: only what the agent has accepted is
 * promised.
 *
 * @throws `conflict` if the sandbox is not running
 */
export async function extendTimeout(
  context: OciContext,
  sandboxId: string,
  durationMs: number,
  signal: AbortSignal,
): Promise<SandboxRecord> {
  const { status } = await reconcileRecord(context, sandboxId);
  if (status !== 'running') {
    throw new SandboxError('conflict', `Sandbox ${sandboxId} is ${status}; its time cannot be extended.`, {
      hint: 'Call sandbox_create for a new one.',
    });
  }
  const { layout } = await context.host();
  try {
    return await updateRecord(layout, sandboxId, async (record) => {
      const { agentSocket } = layout.sandbox(sandboxId);
      const remaining = await setDeadline(agentSocket, (await remainingTime(agentSocket)) + durationMs);
      return { ...record, timeoutMs: record.timeoutMs + durationMs, expiresAt: Date.now() + remaining };
    });
  } catch (error) {
    // Without the record's lock, which others wait for only briefly.
    throw fromAgentError(await diagnoseDisconnect(context, sandboxId, error, signal), sandboxId);
  }
}
