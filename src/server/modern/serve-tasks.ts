/** The tasks extension of the protocol: a long call is answered with a task, which the client polls. */
import {
  CLIENT_CAPABILITIES_META_KEY,
  MissingRequiredClientCapabilityError,
  ProtocolError,
  ProtocolErrorCode,
  type Server,
  type ServerContext,
} from '@modelcontextprotocol/server';
import { z } from 'zod';
import { TASKS_EXTENSION } from '../front/server-info.ts';
import type { TaskState, Tasks } from '../tasks.ts';
import type { FoundTask } from './find-task.ts';

const Capabilities = z.looseObject({
  extensions: z.looseObject({ [TASKS_EXTENSION]: z.looseObject({}) }),
});
const params = z.looseObject({ taskId: z.string() });

/** Whether the client of this request knows tasks. */
export function declaresTasks({ mcpReq }: ServerContext): boolean {
  const { envelope = {} } = mcpReq;
  return Capabilities.safeParse(Reflect.get(envelope, CLIENT_CAPABILITIES_META_KEY)).success;
}

/** The answer to a call that has become a task. `content` is required by the library's check of results. */
export function createTaskResult(state: TaskState) {
  return { resultType: 'task', ...wireTask(state), content: [] };
}

const UNKNOWN =
  'There is no such task: its result may have been forgotten, or the process that ran it has ended. ' +
  'Call session_info and snapshot_list to see what it has done before you repeat it.';

/** Finds a task that this server has not, or no longer. */
type FindTask = (taskId: string, context: ServerContext) => Promise<FoundTask | null>;

/** Answers `tasks/get`, `tasks/update` and `tasks/cancel`. */
export function serveTasks(server: Server, tasks: Tasks, findById: FindTask): void {
  const find = async (taskId: string, context: ServerContext): Promise<FoundTask> => {
    if (!declaresTasks(context)) {
      const requiredCapabilities = { extensions: { [TASKS_EXTENSION]: {} } };
      throw new MissingRequiredClientCapabilityError({ requiredCapabilities });
    }
    const state = tasks.get(taskId);
    if (state !== null) return { state, cancel: async () => void tasks.cancel(taskId) };
    const found = await findById(taskId, context);
    if (found !== null) return found;
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, UNKNOWN);
  };
  server.setRequestHandler('tasks/get', { params }, async ({ taskId }, context) =>
    wireTask((await find(taskId, context)).state),
  );
  // No task ever asks for input: questions are asked before the work starts.
  server.setRequestHandler('tasks/update', { params }, async ({ taskId }, context) => {
    await find(taskId, context);
    return {};
  });
  server.setRequestHandler('tasks/cancel', { params }, async ({ taskId }, context) => {
    const { cancel } = await find(taskId, context);
    await cancel();
    return {};
  });
}

function wireTask({ taskId, status, createdAt, updatedAt, ttlMs, pollIntervalMs, result }: TaskState) {
  return {
    taskId,
    status,
    createdAt: new Date(createdAt).toISOString(),
    lastUpdatedAt: new Date(updatedAt).toISOString(),
    ttlMs,
    pollIntervalMs,
    // As the call itself would have been answered.
    ...(result !== undefined && { result: { resultType: 'complete', ...result } }),
  };
}
