import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import type { RequestHandlerExtra } from '@modelcontextprotocol/sdk/shared/protocol.js';
import {
  CallToolRequestSchema,
  ElicitResultSchema,
  ErrorCode,
  InitializeRequestSchema,
  type JSONRPCMessage,
  ListToolsRequestSchema,
  McpError,
  type ServerNotification,
  type ServerRequest,
} from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import type { Config } from '../config/config.ts';
import { answerForm } from './answer-form.ts';
import { type AskUser, canAsk, NO_FIELDS } from './consent.ts';
import { CAPABILITIES, serverInfo } from './front/server-info.ts';
import { type ErrorReply, invalidParamsReply } from './parse-message.ts';
import { type ServerOptions, ToolCalls } from './tool-calls.ts';

/** Time to answer a call whose question was not answered. */
const ANSWER_MS = 3_000;

/** The server for one connection, with its running calls. */
export interface Connection {
  readonly server: Server;
  /** Cancels every call because the conversation is over, and resolves when all have finished. */
  endCalls(reason: Error): Promise<void>;
}

/**
 * Accepts any parameters: what the SDK's own schema rejects is then reported as invalid arguments, not as an
 * internal error. Non-object arguments bypass that schema as `given`, so that the tool call rejects them with
 * a next step.
 */
const CallRequest = z.object({
  method: z.literal('tools/call'),
  params: z
    .looseObject({})
    .default({})
    .transform(({ arguments: given, ...params }) => ({ ...params, given })),
});

/** A protocol server for one connection of a client that speaks a revision up to 2025-11-25. */
export function createServer(options: ServerOptions): Connection {
  const { config, log } = options;
  const calls = new ToolCalls(options);
  const server = new Server(serverInfo(options.version), {
    capabilities: CAPABILITIES,
    instructions: calls.instructions,
  });
  server.onerror = (error) => log.debug({ err: error }, 'protocol error');
  const form = () => answerForm(config.answers, server.getClientVersion()?.name);
  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: calls.list(form()) }));
  server.setRequestHandler(CallRequest, (request, extra) => {
    const { params } = CallToolRequestSchema.parse(request);
    return calls.call({
      name: params.name,
      arguments: request.params.given,
      progressToken: params._meta?.progressToken,
      meta: params._meta,
      form: form(),
      ask: canAsk(server.getClientCapabilities()?.elicitation) ? askThrough(extra, config) : null,
      signal: extra.signal,
      notify: (notification) =>
        extra.sendNotification({ method: 'notifications/progress', params: { ...notification } }),
    });
  });
  return { server, endCalls: (reason) => calls.end(reason) };
}

type Extra = RequestHandlerExtra<ServerRequest, ServerNotification>;

/** Asks the client's user, who may take as long as a call may. */
function askThrough({ sendRequest, signal }: Extra, config: Config): AskUser {
  return async (message) => {
    const params = { message, requestedSchema: NO_FIELDS };
    const timeout = config.callTimeoutMs - ANSWER_MS;
    try {
      const request = { method: 'elicitation/create' as const, params };
      return (await sendRequest(request, ElicitResultSchema, { timeout, signal })).action;
    } catch (error) {
      if (error instanceof McpError && error.code === ErrorCode.RequestTimeout) return 'cancel';
      throw error;
    }
  };
}

/** The reply to an `initialize` with invalid parameters, which the SDK would report as an internal error. */
export function initializeError(message: JSONRPCMessage): ErrorReply | null {
  if (!('method' in message && 'id' in message) || message.method !== 'initialize') return null;
  const { error } = InitializeRequestSchema.safeParse(message);
  return error === undefined ? null : invalidParamsReply(message.id, error.issues);
}
