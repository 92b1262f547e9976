/** What the engine itself knows of a command, and where the agent's part of it lies. */
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
    if (systemErrorCode(error) === 'EEXIST') throw duplicateCommand();
    // Its content did not fit; the empty file would be taken for a command.
    if (isDiskFull(error)) rmSync(paths.record, { force: true });
    throw diskFullError(error);
  }
}

/** Keeps that memory was lacking while a command ran, for as long as its record stays. */
export async function recordOutOfMemory(paths: CommandPaths, record: CommandRecord): Promise<void> {
  const noted: CommandRecord = { ...record, ranOutOfMemory: true };
  await writeFileAtomic(paths.record, JSON.stringify(noted), 0o600, false);
}

/** @throws `not_found` where there is none, `server` where it is damaged */
export async function readCommandRecord(paths: CommandPaths, commandId: string): Promise<CommandRecord> {
  const record = await readRecordFile(paths.record, commandRecordSchema, async (cause) =>
    // The writer may have been killed half-way; the agent was not asked yet then, so the command never began.
    (await pathExists(paths.agentDir))
      ? new SandboxError('server', `The record of ${commandId} is damaged.`, { cause })
      : unknownCommand(commandId),
  );
  if (record === null) throw unknownCommand(commandId);
  return record;
}

/** The ids of a sandbox's commands, in no order. */
export async function listCommandIds(sandbox: SandboxPaths): Promise<string[]> {
  const names = await readdir(sandbox.commands);
  return names.filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -'.json'.length));
}
