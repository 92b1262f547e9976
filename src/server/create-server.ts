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
import { type CallOutcome, callTool } from './call-tool.ts';
import { describeTool } from './describe-tool.ts';
import { CAPABILITIES, serverInfo } from './front/server-info.ts';
import { instructions } from './instructions.ts';
import { createProgress } from './progress.ts';
import { selectTools } from './select-tools.ts';

export interface ServerOptions {
  session: Session;
  tools: readonly Tool[];
  config: Config;
  log: Logger;
  version: string;
  /** Called for every call. */
  onOutcome?: (outcome: CallOutcome) => void;
  /** Milliseconds after which a slow call returns the state reached; for tests. */
  softTimeoutMs?: number;
  /** The longest that a call may take, in milliseconds; for tests. */
  callTimeout?: Partial<Omit<CallTimeout, 'late'>>;
}

/** Time for undoing work or reading the last state before a call has to be answered. */
const UNDO_MS = 3_000;

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
  const calls = new RunningCalls();
  const server = new Server(serverInfo(options.version), {
    capabilities: CAPABILITIES,
    instructions: instructions(
      [...tools.keys()],
      options.tools.map(({ name }) => name),
    ),
  });
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
    try {
      return await calls.run(extra.signal, (signal, late) => {
        const context = {
          session,
          config,
          signal,
          wantsProgress: progress.wanted,
          progress: (line: string) => progress.report(config.secrets.mask(line)),
          softTimeoutMs: options.softTimeoutMs ?? config.callTimeoutMs - UNDO_MS,
          now: Date.now,
        };
        const call = { name: params.name, arguments: request.params.given };
        const callTimeout = { callMs: config.callTimeoutMs, ...options.callTimeout, late };
        return callTool(tools, call, context, log, callTimeout, answers(), options.onOutcome);
      });
    } finally {
      await progress.close();
    }
  });
  return { server, endCalls: (reason) => calls.end(reason) };
}

/** A call. `late` receives the work that continues after the call was answered. */
type Call<Result> = (signal: AbortSignal, late: (work: Promise<unknown>) => void) => Promise<Result>;

/** The running calls of one connection. The end of the conversation cancels and awaits them. */
class RunningCalls {
  readonly #running = new Map<AbortController, Promise<unknown>>();
  #over: Error | null = null;

  /**
   * Runs a call with a signal that fires when the client cancels the call or the conversation ends; the
   * call can tell the two apart by the reason.
   */
  async run<Result>(cancelled: AbortSignal, call: Call<Result>): Promise<Result> {
    const { controller, release } = abortWith(cancelled);
    // A call that arrives after the end starts nothing.
    if (this.#over !== null) controller.abort(this.#over);
    let isLate = false;
    const running = call(controller.signal, (work) => {
      isLate = true;
      this.#running.set(
        controller,
        work.finally(() => this.#running.delete(controller)),
      );
    });
    if (!isLate) this.#running.set(controller, running);
    try {
      return await running;
    } finally {
      if (!isLate) this.#running.delete(controller);
      release();
    }
  }

  /** Cancels every call because the conversation is over, and resolves when all have finished. */
  async end(reason: Error): Promise<void> {
    this.#over = reason;
    for (const controller of this.#running.keys()) controller.abort(reason);
    await Promise.allSettled(this.#running.values());
  }
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
