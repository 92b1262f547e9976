/** The engine's record of a command, and the paths of the agent's files for it. */
import { rmSync, writeFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { SandboxError, systemErrorCode } from '../../../shared/errors.ts';
import { writeFileAtomic } from '../../../shared/fs/atomic-file.ts';
import { diskFullError, isDiskFull } from '../../../shared/fs/disk-full.ts';
import { pathExists } from '../../../shared/fs/path-exists.ts';
import { readRecordFile } from '../../../shared/fs/record-file.ts';
import { duplicateCommand, unknownCommand } from '../../../shared/id-errors.ts';
import { sandboxIdOfCommand } from '../../../shared/ids.ts';
import type { SandboxPaths, StateLayout } from './state-layout.ts';

const commandRecordSchema = z.strictObject({
  commandId: z.string(),
  cmd: z.string(),
  args: z.array(z.string()),
  cwd: z.string(),
  startedAt: z.number(),
  /** Out-of-memory kills in the sandbox before the command started. */
  outOfMemoryKills: z.number(),
  /**
   * Set at its end if there were out-of-memory kills while it ran: the cgroup that counts them will be
   * removed.
   */
  ranOutOfMemory: z.boolean().optional(),
});

/** Does not contain the environment, which may hold secrets. */
export type CommandRecord = z.output<typeof commandRecordSchema>;

export interface CommandPaths {
  sandboxId: string;
  sandbox: SandboxPaths;
  record: string;
  /** The agent's directory of the command: logs, socket, exit file. */
  agentDir: string;
  socket: string;
  exitFile: string;
}

/** @throws `not_found` for an invalid command id, which never becomes a path */
export function commandPaths(layout: StateLayout, commandId: string): CommandPaths {
  const sandboxId = sandboxIdOfCommand(commandId);
  if (sandboxId === null) throw unknownCommand(commandId);
  const sandbox = layout.sandbox(sandboxId);
  const agentDir = join(sandbox.agent, 'c', commandId);
  return {
    sandboxId,
    sandbox,
    record: join(sandbox.commands, `${commandId}.json`),
    agentDir,
    socket: join(agentDir, 'socket'),
    exitFile: join(agentDir, 'exit'),
  };
}

/**
 * Records the intent to run a command, once. It survives this process; a power cut ends the sandbox anyway,
 * so it is not flushed. Synchronous on purpose: writing to the page cache takes some ten microseconds, while
 * three round trips through the thread pool would each wait for the scheduler, for every command.
 * @throws `conflict` if the id was used before, `limit_exceeded` if the disk is full
 */
export function writeCommandRecord(paths: CommandPaths, record: CommandRecord): void {
  try {
    writeFileSync(paths.record, JSON.stringify(record), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') throw duplicateCommand();
    // The content did not fit; an empty file would look like a command.
    if (isDiskFull(error)) rmSync(paths.record, { force: true });
    throw diskFullError(error);
  }
}

/** Records in a command's record that an out-of-memory kill happened while it ran. */
export async function recordOutOfMemory(paths: CommandPaths, record: CommandRecord): Promise<void> {
  const noted: CommandRecord = { ...record, ranOutOfMemory: true };
  await writeFileAtomic(paths.record, JSON.stringify(noted), 0o600, false);
}

/** @throws `not_found` if there is none, `server` if it is damaged */
export async function readCommandRecord(paths: CommandPaths, commandId: string): Promise<CommandRecord> {
  const record = await readRecordFile(paths.record, commandRecordSchema, async (cause) =>
    // The writer may have been killed halfway, before it asked the agent: the command never started.
    (await pathExists(paths.agentDir))
      ? new SandboxError('server', `The record of ${commandId} is damaged.`, { cause })
      : unknownCommand(commandId),
  );
  if (record === null) throw unknownCommand(commandId);
  return record;
}

/** The ids of a sandbox's commands, in no particular order. */
export async function listCommandIds(sandbox: SandboxPaths): Promise<string[]> {
  const names = await readdir(sandbox.commands);
  return names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length));
}
