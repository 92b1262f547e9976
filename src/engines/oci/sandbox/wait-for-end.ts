/** Waits for the outcome of a sandbox after a command's supervisor disconnected without an exit. */
import { setTimeout as delay } from 'node:timers/promises';
import { anySignal } from '../../../shared/async/any-signal.ts';
import { throwIfCancelled } from '../../../shared/errors.ts';
import type { OciContext } from '../context.ts';
import { AgentConnection, AgentDisconnectedError, AgentError } from '../protocol/agent-connection.ts';
import { FRAME } from '../protocol/frames.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';
import { reconcileRecord } from './reconcile.ts';

const ENDING_MS = 60_000;
const LIVE: readonly SandboxRecord['status'][] = ['pending', 'running'];

/** Connecting is not enough: the kernel accepts connections for a process that is about to end. */
async function agentAnswers(socket: string, signal: AbortSignal): Promise<boolean> {
  const limit = anySignal([signal, AbortSignal.timeout(ENDING_MS)]);
  try {
    const connection = await AgentConnection.open(socket, limit);
    try {
      await connection.request(FRAME.PING);
    } finally {
      connection.close();
    }
    return true;
  } catch (error) {
    throwIfCancelled(signal);
    if (error instanceof AgentDisconnectedError) return false;
    // Slow, not gone.
    if (error instanceof AgentError || limit.aborted) return true;
    throw error;
  }
}

/**
 * The sandbox's record once it is clear whether the sandbox has ended, and why, or is still running.
 * Supervisors die a moment before the sandbox counts as ended, so this waits for an ending one, at most a
 * minute and until `signal` fires.
 *
 * @throws SandboxError `cancelled`
 */
export async function waitForSandboxEnd(
  context: OciContext,
  sandboxId: string,
  signal: AbortSignal,
): Promise<SandboxRecord> {
  const { layout } = await context.host();
  const until = performance.now() + ENDING_MS;
  for (let pause = 2; ; pause = Math.min(pause * 2, 100)) {
    throwIfCancelled(signal);
    const record = await reconcileRecord(context, sandboxId);
    if (record.endedAt !== null || performance.now() > until) return record;
    const ending =
      !LIVE.includes(record.status) || !(await agentAnswers(layout.sandbox(sandboxId).agentSocket, signal));
    if (!ending) return record;
    await delay(pause);
  }
}
