import { traced } from '../../../shared/async/traced.ts';
import { AgentConnection } from '../protocol/agent-connection.ts';
import { encodeFields, FRAME, TAG } from '../protocol/frames.ts';

/**
 * Milliseconds until the deadline, as the agent counts them: unlike the wall clock of this machine, its clock
 * does not jump.
 */
export async function remainingTime(agentSocket: string): Promise<number> {
  return traced('agent', 'PING', async () => {
    const connection = await AgentConnection.open(agentSocket, null);
    try {
      return (await connection.request(FRAME.PING)).number(TAG.remainingMs);
    } finally {
      connection.close();
    }
  });
}

/** Moves the deadline that the agent keeps. Returns the milliseconds until then, as the agent counts them. */
export async function setDeadline(
  agentSocket: string,
  fromNowMs: number,
  signal: AbortSignal | null = null,
): Promise<number> {
  return traced('agent', 'DEADLINE', async () => {
    const connection = await AgentConnection.open(agentSocket, signal);
    try {
      const body = encodeFields([[TAG.ms, Math.max(1, fromNowMs)]]);
      return (await connection.request(FRAME.DEADLINE, body)).number(TAG.remainingMs);
    } finally {
      connection.close();
    }
  });
}
