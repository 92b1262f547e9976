/** Asks a command's supervisor to signal the command and all its descendants. */
import type { KillCause } from '../../engine.ts';
import { AgentConnection, AgentDisconnectedError } from '../protocol/agent-connection.ts';
import { fromAgentError } from '../protocol/agent-errors.ts';
import { encodeFields, FRAME, TAG } from '../protocol/frames.ts';

const CAUSES: Record<KillCause, number> = { killed: 1, cancelled: 2, session_end: 3 };

/**
 * @param socket path of the supervisor's socket
 * @param signalNumber what to send
 * @param cause recorded as the reason if this ends the command
 * @returns how many processes were signalled; 0 if no supervisor is left
 * @throws what the agent reports; nothing if no supervisor is left, since the command then has no processes
 *   either
 */
export async function requestKill(
  { commandId, socket }: { commandId: string; socket: string },
  { signalNumber, cause }: { signalNumber: number; cause: KillCause },
  signal: AbortSignal,
): Promise<number> {
  try {
    const connection = await AgentConnection.open(socket, signal);
    try {
      const body = encodeFields([
        [TAG.signal, signalNumber],
        [TAG.cause, CAUSES[cause]],
      ]);
      const reply = await connection.request(FRAME.KILL, body);
      return reply.optionalNumber(TAG.signalled) ?? 0;
    } finally {
      connection.close();
    }
  } catch (error) {
    if (!(error instanceof AgentDisconnectedError)) throw fromAgentError(error, commandId);
    return 0;
  }
}
