import { CLIENT_INFO_META_KEY, Server, type ServerContext } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { sharedAnswerForm } from '../answer-form.ts';
import { CACHING } from '../front/revision.ts';
import { MODERN_CAPABILITIES, serverInfo } from '../front/server-info.ts';
import type { ProgressNotification } from '../progress.ts';
import type { ServerOptions, ToolCalls } from '../tool-calls.ts';
import { findTask } from './find-task.ts';
import { Question } from './question.ts';
import { createTaskResult, declaresTasks, serveTasks } from './serve-tasks.ts';

/** A protocol server for the revision 2026-07-28: for one connection, or for one request over HTTP. */
export function createModernServer(calls: ToolCalls, options: ServerOptions): Server {
  const { config, log } = options;
  const server = new Server(serverInfo(options.version), {
    capabilities: MODERN_CAPABILITIES,
    instructions: calls.instructions,
    cacheHints: { 'tools/list': CACHING, 'server/discover': CACHING },
  });
  server.onerror = (error) => log.debug({ err: error }, 'protocol error');
  server.setRequestHandler('tools/list', () => ({
    tools: calls.list(sharedAnswerForm(config.answers, undefined)),
  }));
  server.setRequestHandler('tools/call', async (request, context) => {
    const { name, arguments: given, _meta } = request.params;
    const question = new Question(context);
    const call = {
      name,
      arguments: given,
      progressToken: _meta?.progressToken,
      meta: _meta,
      form: sharedAnswerForm(config.answers, clientOf(context)),
      ask: question.ask,
      signal: context.mcpReq.signal,
      notify: (notification: ProgressNotification) =>
        context.mcpReq.notify({ method: 'notifications/progress', params: { ...notification } }),
    };
    const outcome = declaresTasks(context)
      ? await calls.callOrTask(call)
      : { result: await calls.call(call) };
    if ('task' in outcome) return createTaskResult(outcome.task);
    return question.pending ?? outcome.result;
  });
  serveTasks(server, calls.tasks, (taskId, context) => findTask(calls, options, taskId, context));
  return server;
}

const ClientInfo = z.looseObject({ name: z.string() });

/** The name that the client gives itself in this request. */
function clientOf({ mcpReq }: ServerContext): string | undefined {
  const { envelope = {} } = mcpReq;
  return ClientInfo.safeParse(Reflect.get(envelope, CLIENT_INFO_META_KEY)).data?.name;
}
