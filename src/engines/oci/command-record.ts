/** What the engine itself knows of a command, and where the agent's part of it lies. */
import { rmSync, writeFileSync } from 'node:fs';
import { lstat, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileAtomic } from '../../shared/atomic-file.ts';
import { diskFullError, isDiskFull } from '../../shared/disk-full.ts';
import { SandboxError, systemErrorCode } from '../../shared/errors.ts';
import { sandboxIdOfCommand } from '../../shared/ids.ts';
import type { SandboxPaths, StateLayout } from './layout.ts';

const commandRecordSchema = z.strictObject({
  commandId: z.string(),
  cmd: z.string(),
  args: z.array(z.string()),
  cwd: z.string(),
  startedAt: z.number(),
  /** Processes that had been killed for lack of memory before it began. */
  outOfMemoryKills: z.number(),
  /** Written at its end where the kernel killed for lack of memory while it ran: the cgroup that counts such kills goes. */
  ranOutOfMemory: z.boolean().optional(),
});

/** Never the environment: it may hold secrets. */
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

/** The `not_found` of a command id. */
export function unknownCommand(commandId: string): SandboxError {
  return new SandboxError('not_found', `There is no command "${commandId.slice(0, 64)}".`, {
    details: { command_id: commandId.slice(0, 64) },
  });
}

/** @throws `not_found` for what is no command id; such a text never becomes a path */
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
 * Writes the intent to run a command, once: it survives this process, and a power cut takes the sandbox along anyway,
 * so nothing waits for the disk. Synchronous on purpose: some ten microseconds into the page cache, where three trips
 * through the thread pool would each wait for the scheduler, on every command.
 * @throws `conflict` where the id was used before, `limit_exceeded` where the disk is full
 */
export function writeCommandRecord(paths: CommandPaths, record: CommandRecord): void {
  try {
    writeFileSync(paths.record, JSON.stringify(record), { mode: 0o600, flag: 'wx' });
  } catch (error) {
    if (systemErrorCode(error) === 'EEXIST') throw startedAlready();
    // Its content did not fit; the empty file would be taken for a command.
    if (isDiskFull(error)) rmSync(paths.record, { force: true });
    throw diskFullError(error);
  }
}

/** Keeps that memory was lacking while a command ran, for as long as its record stays. */
export async function noteOutOfMemory(paths: CommandPaths, record: CommandRecord): Promise<void> {
  const noted: CommandRecord = { ...record, ranOutOfMemory: true };
  await writeFileAtomic(paths.record, JSON.stringify(noted), 0o600, false);
}

/** The `conflict` of an id that was used before. */
export function startedAlready(): SandboxError {
  return new SandboxError('conflict', 'A command of this id was started already; it is not run twice.', {
    hint: 'Call sandbox_get_command to see how it stands.',
  });
}

/** @throws `not_found` where there is none, `server` where it is damaged */
export async function readCommandRecord(paths: CommandPaths, commandId: string): Promise<CommandRecord> {
  let text: string;
  try {
    text = await readFile(paths.record, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') throw unknownCommand(commandId);
    throw error;
  }
  try {
    return commandRecordSchema.parse(JSON.parse(text));
  } catch (error) {
    // The writer was killed half-way; the agent was not asked yet, so the command never began.
    if (!(await exists(paths.agentDir))) throw unknownCommand(commandId);
    throw new SandboxError('server', `The record of ${commandId} is damaged.`, { cause: error });
  }
}

/** The ids of a sandbox's commands, in no order. */
export async function listCommandIds(sandbox: SandboxPaths): Promise<string[]> {
  const names = await readdir(sandbox.commands);
  return names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length));
}

/** Whether anything is at a path; links are not followed. */
export async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return false;
    throw error;
  }
}
