import { existsSync } from 'node:fs';
import { AgentConnection, AgentGone } from './agent-connection.ts';
import type { CommandPaths } from './command-record.ts';

/** Whether anything of a finished command still runs: its supervisor, and the socket of it, live exactly as long. */
export async function hasRest(paths: CommandPaths): Promise<boolean> {
  // The file alone may be what a killed supervisor has left; it costs nothing to look for.
  if (!existsSync(paths.socket)) return false;
  try {
    (await AgentConnection.open(paths.socket, null)).close();
    return true;
  } catch (error) {
    if (error instanceof AgentGone) return false;
    throw error;
  }
}
