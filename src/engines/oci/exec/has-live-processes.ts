import { existsSync } from 'node:fs';
import { isListening } from '../protocol/agent-connection.ts';
import type { CommandPaths } from '../state/command-record.ts';

/**
 * Whether processes of a finished command still run: its supervisor and the supervisor's socket live exactly
 * as long.
 */
export async function hasLiveProcesses(paths: CommandPaths): Promise<boolean> {
  // Checking for the file first is cheap.
  if (!existsSync(paths.socket)) return false;
  return isListening(paths.socket);
}
