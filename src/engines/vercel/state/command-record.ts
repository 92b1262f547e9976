/** This machine's record of a command: the intent, stored before the platform is asked, and the end. */
import { z } from 'zod';
import { SandboxError } from '../../../shared/errors.ts';
import { duplicateCommand, unknownCommand } from '../../../shared/id-errors.ts';
import { parseDocument } from './documents.ts';
import type { CommandPaths, VercelLayout } from './state-layout.ts';

const endSchema = z.strictObject({
  exitCode: z.number(),
  /** Null if the sandbox's end, not the platform, showed that it has ended. */
  durationMs: z.number(),
  endedBy: z.enum([
    'exit',
    'timeout',
    'cancelled',
    'killed',
    'session_end',
    'out_of_memory',
    'sandbox_stopped',
  ]),
  stdoutBytes: z.number(),
  stderrBytes: z.number(),
  /** The directory name of the capture that holds the output; null if there is none. */
  capture: z.string().nullable(),
  /** False if the platform did not return all of the output. */
  complete: z.boolean(),
});

const recordSchema = z.strictObject({
  version: z.literal(1),
  commandId: z.string(),
  cmd: z.string(),
  args: z.array(z.string()),
  cwd: z.string(),
  startedAt: z.number(),
  timeoutMs: z.number().nullable(),
  /** `asked`: the platform has not (yet) confirmed that it runs. */
  state: z.enum(['asked', 'started']),
  /** The platform's own id; null until it has answered. */
  platformId: z.string().nullable(),
  /** The first request to kill it. */
  killedFor: z.enum(['killed', 'cancelled', 'session_end', 'timeout']).nullable(),
  end: endSchema.nullable(),
});

/** Never the environment: it may contain secrets. */
export type CommandRecord = z.output<typeof recordSchema>;
export type CommandEnd = z.output<typeof endSchema>;

/**
 * Writes the intent to run a command, once.
 *
 * @throws SandboxError `conflict` if the id was used before
 */
export async function writeIntent(paths: CommandPaths, record: CommandRecord): Promise<void> {
  if (!(await paths.documents.create(paths.record, JSON.stringify(record)))) throw duplicateCommand();
}

/** @throws SandboxError `not_found` if there is none, `server` if it is damaged */
export async function readRecord(paths: CommandPaths, commandId: string): Promise<CommandRecord> {
  return parse(await paths.documents.read(paths.record), commandId);
}

function parse(text: string | null, commandId: string): CommandRecord {
  if (text === null) throw unknownCommand(commandId);
  const message = `The record of ${commandId} is damaged.`;
  return parseDocument(text, recordSchema, (cause) => new SandboxError('server', message, { cause }));
}

/** Changes the record and returns it; `change` may return the same object for no change. */
export async function updateRecord(
  paths: CommandPaths,
  commandId: string,
  change: (record: CommandRecord) => CommandRecord,
): Promise<CommandRecord> {
  let changed: CommandRecord | null = null;
  await paths.documents.update(paths.record, (text) => {
    const record = parse(text, commandId);
    changed = change(record);
    return changed === record ? text : JSON.stringify(changed);
  });
  return changed ?? readRecord(paths, commandId);
}

/** Removes an intent that was definitely refused. */
export async function removeIntent(paths: CommandPaths): Promise<void> {
  await paths.documents.remove(paths.record);
}

/** The ids of a sandbox's commands, in any order. */
export function listCommandIds(layout: VercelLayout, sandboxId: string): Promise<string[]> {
  const { commands, commandRecords } = layout.sandbox(sandboxId);
  return layout.documents.ids(commands, commandRecords);
}

/** The same end, with the output of a later read if that is more. */
export function withOutput(
  record: CommandRecord,
  end: CommandEnd,
  about: Pick<CommandEnd, 'stdoutBytes' | 'stderrBytes' | 'capture' | 'complete'>,
): CommandRecord {
  const more = about.stdoutBytes + about.stderrBytes >= end.stdoutBytes + end.stderrBytes;
  return end.complete || !more ? record : { ...record, end: { ...end, ...about } };
}

/** True if it has ended and its output is not known to be complete. */
export function isPartial({ end }: CommandRecord): boolean {
  return end !== null && !end.complete;
}
