import { z } from 'zod';
import type { Command } from '../../src/engines/engine.ts';
import { formatCount, textBlock } from '../../src/shared/text/text.ts';
import { shortened, shortenedList } from './command-arguments.ts';
import { hintFor } from './command-hints.ts';
import type { CapturedOutput } from './command-output.ts';

const text = z.string().nullable();

/** The fields of every result about a command. */
export const commandOutput = z.object({
  command_id: z.string(),
  sandbox_id: z.string(),
  cmd: z.string(),
  args: z.array(z.string()),
  cwd: z.string(),
  status: z.string(),
  exit_code: z.int().nullable(),
  signal: text,
  ended_by: text,
  started_at: z.number(),
  duration_ms: z.number(),
  stdout: z.string(),
  stderr: z.string(),
  stdout_bytes: z.number(),
  stderr_bytes: z.number(),
  truncated: z.boolean(),
  next: text,
});

export type CommandAnswer = z.output<typeof commandOutput>;

/**
 * A command as a tool result: as data, and as text laid out like a terminal. `sandboxEnd` says why its
 * sandbox ended, if the command ended with it.
 */
export function commandAnswer(
  command: Command,
  output: CapturedOutput,
  sandboxEnd: string | null,
): { structured: CommandAnswer; text: string } {
  const structured = {
    command_id: command.commandId,
    sandbox_id: command.sandboxId,
    cmd: shortened(command.cmd),
    args: shortenedList(command.args),
    cwd: command.cwd,
    status: command.status,
    exit_code: command.exitCode,
    signal: command.signal,
    ended_by: command.endedBy,
    started_at: command.startedAt,
    duration_ms: command.durationMs,
    stdout: output.stdout,
    stderr: output.stderr,
    stdout_bytes: command.stdoutBytes,
    stderr_bytes: command.stderrBytes,
    truncated: output.truncated,
    next: [...endOf(command, sandboxEnd), ...nextSteps(command, output)].join('. ') || null,
  };
  return { structured, text: commandText(structured) };
}

function commandText(answer: CommandAnswer): string {
  const lines = [`${outcome(answer)} after ${formatCount(answer.duration_ms)} ms`];
  if (answer.next !== null) lines.push(`next: ${answer.next}`);
  lines.push(`command_id: ${answer.command_id}`, `sandbox_id: ${answer.sandbox_id}`, `cwd: ${answer.cwd}`);
  lines.push(`started_at: ${answer.started_at}`, `truncated: ${answer.truncated}`);
  lines.push(`command: ${JSON.stringify([answer.cmd, ...answer.args])}`);
  lines.push(textBlock('stdout', answer.stdout, answer.stdout_bytes));
  lines.push(textBlock('stderr', answer.stderr, answer.stderr_bytes));
  return lines.join('\n');
}

function outcome({ status, exit_code, signal, ended_by }: CommandAnswer): string {
  if (status === 'running') return 'running';
  return `exit_code ${exit_code} (${[ended_by, signal].filter((part) => part !== null).join(', ')})`;
}

/** What to know about how it ended, one sentence each. */
function endOf(command: Command, sandboxEnd: string | null): string[] {
  const reasons: string[] = [];
  if (command.endedBy === 'out_of_memory') reasons.push(`Killed because memory ran out: ${MORE_MEMORY}`);
  else if (command.ranOutOfMemory === true)
    reasons.push(`A process in its sandbox was killed because memory ran out: ${MORE_MEMORY}`);
  if (command.endedBy === 'timeout') reasons.push('Killed at its timeout_ms: increase it, or leave it out');
  else if (command.hasLiveProcesses === true)
    reasons.push(
      `Processes that it started are still running: command_kill command_id=${command.commandId} ends them`,
    );
  if (sandboxEnd !== null)
    reasons.push(`Its sandbox ended (${sandboxEnd}): call sandbox_create for a new one`);
  return reasons;
}

const MORE_MEMORY = 'use less, or sandbox_create with more resources.vcpus';

/** What to call next; the cause of a failure comes before the rest of the output. */
function nextSteps(command: Command, output: CapturedOutput): string[] {
  const id = `command_id=${command.commandId}`;
  if (command.status === 'running')
    return [`Still running; do not start it again. command_wait ${id}, or command_logs ${id}`];
  const rest = output.truncated ? `command_output ${id}, or command_logs ${id} grep=…` : null;
  return [hintFor(command, output), rest].filter((step) => step !== null);
}
