import { existsSync } from 'node:fs';
import { isListening } from '../protocol/agent-connection.ts';
import type { CommandPaths } from '../state/command-record.ts';

/** Whether anything of a finished command still runs: its supervisor, and the socket of it, live exactly as long. */
export async function hasLiveProcesses(paths: CommandPaths): Promise<boolean> {
  // The file costs nothing to look for.
  if (!existsSync(paths.socket)) return false;
  return isListening(paths.socket);
}
