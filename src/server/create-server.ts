import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { z } from 'zod';
import type { Tool } from '../../tools/common/tool.ts';
import type { Config } from '../config/config.ts';
import type { Session } from '../registry/types.ts';
import { abortWith } from '../shared/async/on-abort.ts';
import type { Logger } from '../shared/log.ts';
import { type AnswerForm, answersFor } from './answer-form.ts';
import type { CallTimeout } from './call-timeout.ts';
import { callTool } from './call-tool.ts';
import { describeTool } from './describe-tool.ts';
import { instructions } from './instructions.ts';
import { createProgress } from './progress.ts';
import { selectTools } from './select-tools.ts';

export interface ServerOptions {
  session: Session;
  tools: readonly Tool[];
  config: Config;
  log: Logger;
  version: string;
  /**
   * Milliseconds after which a slow call returns the state reached. Absent: below the 60 s timeout of common
   * clients.
   */
  softTimeoutMs?: number;
  /** The longest that a call may take, in milliseconds; for tests. */
  callTimeout?: Omit<CallTimeout, 'late'>;
}

/** Leaves time for undoing work or reading the last state within the 55 s that a call may wait. */
const SOFT_TIMEOUT_MS = 52_000;

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

/** A protocol server for one connection, with the same tools in the same order for every client. */
export function createServer(options: ServerOptions): Connection {
  const { session, config, log } = options;
  const tools = new Map(selectTools(options.tools, config).map((tool) => [tool.name, tool]));
  const running = new Map<AbortController, Promise<unknown>>();
  let over: Error | null = null;
  const server = new Server(
    { name: 'sandbox-mcp', title: 'Sandboxes', version: options.version },
    {
      capabilities: { tools: {} },
      instructions: instructions(
        [...tools.keys()],
        options.tools.map(({ name }) => name),
      ),
    },
  );
  server.onerror = (error) => log.debug({ err: error }, 'protocol error');
  const descriptions = memoize((form: AnswerForm) =>
    [...tools.values()].map((tool) => describeTool(tool, form)),
  );
  const answers = () => answersFor(config.answers, server.getClientVersion()?.name);
  server.setRequestHandler(ListToolsRequestSchema, () => {
    const { form } = answers();
    return { tools: descriptions(form) };
  });
  server.setRequestHandler(CallRequest, async (request, extra) => {
    const { params } = CallToolRequestSchema.parse(request);
    const progress = createProgress(params._meta?.progressToken, (notification) =>
      extra.sendNotification({ method: 'notifications/progress', params: { ...notification } }),
    );
    // A call ends when the client cancels it or with the conversation; the handler can tell the two apart.
    const { controller: ending, release } = abortWith(extra.signal);
    // A request that arrives after the end starts nothing.
    if (over !== null) ending.abort(over);
    const context = {
      session,
      config,
      signal: ending.signal,
      wantsProgress: progress.wanted,
      progress: (line: string) => progress.report(config.secrets.mask(line)),
      softTimeoutMs: options.softTimeoutMs ?? SOFT_TIMEOUT_MS,
      now: Date.now,
    };
    let late: Promise<unknown> | null = null;
    const callTimeout: CallTimeout = {
      ...options.callTimeout,
      // The end of the conversation ends it too.
      late: (work) => {
        late = work.finally(() => running.delete(ending));
        running.set(ending, late);
      },
    };
    const call = callTool(
      tools,
      { name: params.name, arguments: request.params.given },
      context,
      log,
      callTimeout,
      answers(),
    );
    running.set(ending, call);
    try {
      return await call;
    } finally {
      if (late === null) running.delete(ending);
      release();
      await progress.close();
    }
  });

  return {
    server,
    async endCalls(reason) {
      over = reason;
      for (const ending of running.keys()) ending.abort(reason);
      await Promise.allSettled(running.values());
    },
  };
}

/** Computes the value of each key once. */
function memoize<Key, Value>(compute: (key: Key) => Value): (key: Key) => Value {
  const values = new Map<Key, Value>();
  return (key) => {
    const known = values.get(key);
    if (known !== undefined) return known;
    const value = compute(key);
    values.set(key, value);
    return value;
  };
}
