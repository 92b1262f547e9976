/**
 * Finds tasks that this session does not know: another replica may have answered the call, or its conversation has
 * ended here. What a command or a create is about has an id that its principal can name anywhere.
 */
import type { ServerContext } from '@modelcontextprotocol/server';
import type { SandboxHandle, Session } from '../../registry/types.ts';
import { SandboxError } from '../../shared/errors.ts';
import { isSandboxId, sandboxIdOfCommand } from '../../shared/ids.ts';
import { sharedAnswerForm } from '../answer-form.ts';
import type { CallResult } from '../render.ts';
import { selectTools } from '../select-tools.ts';
import { TASK_TIMES, type TaskState } from '../tasks.ts';
import type { ServerOptions, ToolCalls } from '../tool-calls.ts';

/** A task, whoever answered the call that started it. */
export interface FoundTask {
  readonly state: TaskState;
  cancel(): Promise<void>;
}

/** The tools whose calls become such tasks. */
const RUN = 'sandbox_run_command';
const CREATE = 'sandbox_create';
/** The tools that answer what those would have answered. */
const COMMAND_RESULT = 'command_wait';
const SANDBOX_RESULT = 'sandbox_wait_for_status';

type Options = Pick<ServerOptions, 'session' | 'config' | 'tools'>;

/**
 * Null if the principal has no such command or sandbox, and on a server that starts no such tasks: one that only reads
 * must not end anything either.
 */
export async function findTask(
  calls: ToolCalls,
  options: Options,
  taskId: string,
  { mcpReq }: ServerContext,
): Promise<FoundTask | null> {
  const { session, config, tools } = options;
  const { signal } = mcpReq;
  const offered = selectTools(tools, config).map(({ name }) => name);
  const offers = (...names: string[]): boolean => names.every((name) => offered.includes(name));
  const resultOf = (name: string, given: Record<string, unknown>): Promise<CallResult> =>
    calls.call({
      name,
      arguments: given,
      progressToken: undefined,
      meta: undefined,
      form: sharedAnswerForm(config.answers, undefined),
      ask: null,
      signal,
      notify: async () => {},
    });
  try {
    if (sandboxIdOfCommand(taskId) !== null)
      return offers(RUN) ? await commandTask(session, taskId, signal, resultOf) : null;
    if (!isSandboxId(taskId)) return null;
    return offers(CREATE, SANDBOX_RESULT) ? await createTask(session, taskId, signal, resultOf) : null;
  } catch (error) {
    if (error instanceof SandboxError && error.code === 'not_found') return null;
    throw error;
  }
}

type ResultOf = (tool: string, given: Record<string, unknown>) => Promise<CallResult>;

async function commandTask(
  session: Session,
  taskId: string,
  signal: AbortSignal,
  resultOf: ResultOf,
): Promise<FoundTask> {
  const handle = await session.command(taskId);
  const command = await handle.get(signal);
  const cancel = async (): Promise<void> => {
    if (command.status === 'running') await handle.kill('SIGKILL', 'cancelled', signal);
  };
  const { startedAt: createdAt } = command;
  const state = { taskId, createdAt, updatedAt: createdAt + command.durationMs, ...TASK_TIMES };
  if (command.status === 'running') return { cancel, state: { ...state, status: 'working' } };
  if (command.endedBy === 'cancelled') return { cancel, state: { ...state, status: 'cancelled' } };
  const result = await resultOf(COMMAND_RESULT, { command_id: taskId, wait_ms: 0 });
  return { cancel, state: { ...state, status: 'completed', result } };
}

/** A create has ended once its sandbox is no longer pending. */
async function createTask(
  session: Session,
  taskId: string,
  signal: AbortSignal,
  resultOf: ResultOf,
): Promise<FoundTask> {
  const handle = await session.sandbox(taskId);
  const { status, createdAt } = await handle.view(signal);
  const cancel = async (): Promise<void> => {
    if (status === 'pending') await stopIfPossible(handle, signal);
  };
  const state = { taskId, createdAt, updatedAt: createdAt, ...TASK_TIMES };
  if (status === 'pending') return { cancel, state: { ...state, status: 'working' } };
  const result = await resultOf(SANDBOX_RESULT, { sandbox_id: taskId, status });
  return { cancel, state: { ...state, status: 'completed', result } };
}

/** As long as the engine has no sandbox, only the server that creates it can undo it. */
async function stopIfPossible(handle: SandboxHandle, signal: AbortSignal): Promise<void> {
  try {
    await handle.stop(signal);
  } catch (error) {
    if (!(error instanceof SandboxError) || error.code !== 'conflict') throw error;
  }
}
