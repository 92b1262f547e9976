/** What became of the sandbox of a command whose supervisor has gone without a word. */
import { setTimeout as delay } from 'node:timers/promises';
import { isListening } from './agent-connection.ts';
import type { OciContext } from './context.ts';
import type { SandboxRecord } from './sandbox-record.ts';
import { settledRecord } from './settle.ts';

const ENDING_MS = 10_000;
const LIVES: readonly SandboxRecord['status'][] = ['pending', 'running'];

/**
 * The sandbox's record once it is settled whether the sandbox ended, and why, or goes on. Supervisors die a moment
 * before the sandbox counts as ended, so an ending one is waited for, 10 s at most.
 */
export async function recordAfterCutOff(context: OciContext, sandboxId: string): Promise<SandboxRecord> {
  const { layout } = await context.host();
  const until = performance.now() + ENDING_MS;
  for (let pause = 2; ; pause = Math.min(pause * 2, 100)) {
    const record = await settledRecord(context, sandboxId);
    if (record.endedAt !== null || performance.now() > until) return record;
    const ending =
      !LIVES.includes(record.status) || !(await isListening(layout.sandbox(sandboxId).agentSocket));
    if (!ending) return record;
    await delay(pause);
  }
}
