/** What a killed agent leaves in its directory beside the logs and exit files that stay: sockets and half-made files. */
import { lstat, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { mapConcurrent } from '../../../shared/async/map-concurrent.ts';
import { systemErrorCode } from '../../../shared/errors.ts';
import { sandboxIdOfCommand } from '../../../shared/ids.ts';
import type { SandboxPaths } from '../state/state-layout.ts';

const OF_AGENT = ['socket', 'socket.new', 'ended.new'];
const OF_SUPERVISOR = ['socket', 'socket.new', 'exit.new'];

/** A link in its place would lead anywhere. Nothing of the sandbox runs any more that could put one there later. */
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

/** Removes it. To be called when every process of the sandbox is gone. */
export async function removeAgentFiles(paths: SandboxPaths): Promise<void> {
  await removeFrom(paths.agent, OF_AGENT);
  const commands = join(paths.agent, 'c');
  // A create may have been cut short before it was made.
  if (!(await isDirectory(commands))) return;
  // Not by the records: a command that was being started when the sandbox ended has none any more.
  const ids = (await readdir(commands)).filter((name) => sandboxIdOfCommand(name) !== null);
  await mapConcurrent(ids, 16, (id) => removeFrom(join(commands, id), OF_SUPERVISOR));
}
