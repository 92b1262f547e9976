import type { ServerContext } from '@modelcontextprotocol/server';
import type { CommandHandle, Session } from '../../registry/types.ts';
import { SandboxError } from '../../shared/errors.ts';
import { sandboxIdOfCommand } from '../../shared/ids.ts';
import { sharedAnswersFor } from '../answer-form.ts';
import { selectTools } from '../select-tools.ts';
import { TASK_TIMES, type TaskState } from '../tasks.ts';
import type { ServerOptions, ToolCalls } from '../tool-calls.ts';

/** The tool whose calls become such tasks. */
const STARTS_TASKS = 'sandbox_run_command';

/** A command as a task, whoever answered the call that started it. */
export interface CommandTask {
  readonly state: TaskState;
  cancel(): Promise<void>;
}

/**
 * Finds a command by the id of its task: another replica may have answered its call, or its conversation has ended
 * here. Null if the principal has no such command, and on a server that starts no such tasks: one that only reads
 * must not end a command either.
 */
export async function findCommandTask(
  calls: ToolCalls,
  { session, config, tools }: Pick<ServerOptions, 'session' | 'config' | 'tools'>,
  taskId: string,
  { mcpReq }: ServerContext,
): Promise<CommandTask | null> {
  const { signal } = mcpReq;
  const isOffered = selectTools(tools, config).some(({ name }) => name === STARTS_TASKS);
  const found = isOffered && sandboxIdOfCommand(taskId) !== null ? await find(session, taskId, signal) : null;
  if (found === null) return null;
  const { handle, command } = found;
  const cancel = async (): Promise<void> => {
    if (command.status === 'running') await handle.kill('SIGKILL', 'cancelled', signal);
  };
  const state = {
    taskId,
    createdAt: command.startedAt,
    updatedAt: command.startedAt + command.durationMs,
    ...TASK_TIMES,
  };
  if (command.status === 'running') return { cancel, state: { ...state, status: 'working' } };
  if (command.endedBy === 'cancelled') return { cancel, state: { ...state, status: 'cancelled' } };
  const result = await calls.call({
    name: 'command_wait',
    arguments: { command_id: taskId, wait_ms: 0 },
    progressToken: undefined,
    meta: undefined,
    answers: sharedAnswersFor(config.answers, undefined),
    ask: null,
    signal,
    notify: async () => {},
  });
  return { cancel, state: { ...state, status: 'completed', result } };
}

async function find(
  session: Session,
  commandId: string,
  signal: AbortSignal,
): Promise<{ handle: CommandHandle; command: Awaited<ReturnType<CommandHandle['get']>> } | null> {
  try {
    const handle = await session.command(commandId);
    return { handle, command: await handle.get(signal) };
  } catch (error) {
    if (error instanceof SandboxError && error.code === 'not_found') return null;
    throw error;
  }
}
