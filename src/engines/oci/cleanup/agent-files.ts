/**
 * Removes what a killed agent leaves in its directory: sockets and half-written files. Logs and exit files
 * stay.
 */
import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { mapConcurrent } from '../../../shared/async/map-concurrent.ts';
import { systemErrorCode } from '../../../shared/errors.ts';
import { sandboxIdOfCommand } from '../../../shared/ids.ts';
import type { SandboxPaths } from '../state/state-layout.ts';

const OF_AGENT = ['socket', 'socket.new', 'owners', 'ended.new'];
const OF_SUPERVISOR = ['socket', 'socket.new', 'exit.new'];

/**
 * Rejects a symbolic link, which could lead anywhere. No process of the sandbox is left that could place one
 * later.
 */
async function isDirectory(path: string): Promise<boolean> {
  try {
    return (await lstat(path)).isDirectory();
  } catch (error) {
    const code = systemErrorCode(error);
    if (code === 'ENOENT' || code === 'ENOTDIR') return false;
    throw error;
  }
}

async function removeFrom(directory: string, names: readonly string[]): Promise<void> {
  if (!(await isDirectory(directory))) return;
  for (const name of names) await rm(join(directory, name), { force: true });
}

/** Call it only after every process of the sandbox has ended. */
export async function removeAgentFiles(paths: SandboxPaths): Promise<void> {
  await removeFrom(paths.agent, OF_AGENT);
  const commands = join(paths.agent, 'c');
  // An interrupted create may not have created it yet.
  if (!(await isDirectory(commands))) return;
  // Not by the command records: a command that was starting when the sandbox ended no longer has one.
  const ids = (await readdir(commands)).filter((name) => sandboxIdOfCommand(name) !== null);
  await mapConcurrent(ids, 16, (id) => removeFrom(join(commands, id), OF_SUPERVISOR));
}
