import { traced } from '../../../shared/async/traced.ts';
import { AgentConnection } from '../protocol/agent-connection.ts';
import { FRAME } from '../protocol/frames.ts';

/**
 * Requests a command. Resolves once it has started, with the connection that reports its output and its end.
 *
 * @param body a `RUN` frame's
 */
export function requestRun(agentSocket: string, body: Buffer): Promise<AgentConnection> {
  return traced('agent', 'RUN to STARTED', async () => {
    const connection = await AgentConnection.open(agentSocket, null);
    try {
      await connection.send(FRAME.RUN, body);
      await connection.expect(FRAME.STARTED);
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  });
}
