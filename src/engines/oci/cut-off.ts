/** What became of the sandbox of a command whose supervisor has gone without a word. */
import { setTimeout as delay } from 'node:timers/promises';
import { AgentConnection, AgentGone } from './agent-connection.ts';
import type { OciContext } from './context.ts';
import { type SandboxRecord, updateRecord } from './sandbox-record.ts';
import { settledRecord } from './settle.ts';

const ENDING_MS = 3_000;

async function agentListens(socket: string): Promise<boolean> {
  try {
    (await AgentConnection.open(socket, null)).close();
    return true;
  } catch (error) {
    if (error instanceof AgentGone) return false;
    throw error;
  }
}

/**
 * The sandbox's record once it is settled whether the sandbox ended, and why, or goes on. Supervisors die a moment
 * before the sandbox counts as ended, so an ending one is waited for, 3 s at most.
 */
export async function recordAfterCutOff(context: OciContext, sandboxId: string): Promise<SandboxRecord> {
  const { layout } = await context.host();
  const until = performance.now() + ENDING_MS;
  for (;;) {
    const record = await settledRecord(context, sandboxId);
    // Whoever stops it holds the record's lock until that is done.
    if (record.status === 'stopping') return updateRecord(layout, sandboxId, () => null);
    if (record.endedAt !== null || performance.now() > until) return record;
    if (await agentListens(layout.sandbox(sandboxId).agentSocket)) return record;
    await delay(10);
  }
}
