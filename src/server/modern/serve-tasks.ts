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

/** Answers `tasks/get`, `tasks/update` and `tasks/cancel`. */
export function serveTasks(server: Server, tasks: Tasks): void {
  const find = (taskId: string, context: ServerContext): TaskState => {
    if (!declaresTasks(context)) {
      const requiredCapabilities = { extensions: { [TASKS_EXTENSION]: {} } };
      throw new MissingRequiredClientCapabilityError({ requiredCapabilities });
    }
    const state = tasks.get(taskId);
    if (state !== null) return state;
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'There is no such task.');
  };
  server.setRequestHandler('tasks/get', { params }, ({ taskId }, context) => wireTask(find(taskId, context)));
  // No task ever asks for input: questions are asked before the work starts.
  server.setRequestHandler('tasks/update', { params }, ({ taskId }, context) => {
    find(taskId, context);
    return {};
  });
  server.setRequestHandler('tasks/cancel', { params }, ({ taskId }, context) => {
    find(taskId, context);
    tasks.cancel(taskId);
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
