import { traced } from '../../../shared/async/traced.ts';
import { AgentConnection } from '../protocol/agent-connection.ts';
import { encodeFields, FRAME, TAG } from '../protocol/frames.ts';

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
