import type { Tool } from '../../tools/common/tool.ts';
import type { Config } from '../config/config.ts';
import type { Session } from '../registry/types.ts';
import { abortWith } from '../shared/async/on-abort.ts';
import type { Logger } from '../shared/log.ts';
import type { AnswerForm } from './answer-form.ts';
import type { CallTimeout } from './call-timeout.ts';
import { type CallOutcome, callTool } from './call-tool.ts';
import { type AskUser, requireConsent } from './consent.ts';
import { describeTool, type ToolDescription } from './describe-tool.ts';
import { instructions } from './instructions.ts';
import { createProgress, type Progress, type ProgressNotification } from './progress.ts';
import type { CallResult } from './render.ts';
import { RunningCalls } from './running-calls.ts';
import { selectTools } from './select-tools.ts';
import { type TaskState, Tasks } from './tasks.ts';

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

/** A call of a tool, as a revision of the protocol delivers it. */
export interface ToolCallRequest {
  readonly name: string;
  /** Whatever the client sent as arguments. */
  readonly arguments: unknown;
  /** Set if the client wants to be notified of progress. */
  readonly progressToken: string | number | undefined;
  /** `_meta` of the request. */
  readonly meta: Readonly<Record<string, unknown>> | undefined;
  readonly form: AnswerForm;
  /** Null if the client cannot ask its user. */
  readonly ask: AskUser | null;
  /** Fires when the client cancels the call. */
  readonly signal: AbortSignal;
  notify(progress: ProgressNotification): Promise<void>;
}

/** The tools as offered to one session, whatever revision of the protocol its client speaks. */
export class ToolCalls {
  /** For the client's model. */
  readonly instructions: string;
  /** Calls that continue after they were answered. */
  readonly tasks = new Tasks();
  readonly #options: ServerOptions;
  readonly #tools: ReadonlyMap<string, Tool>;
  readonly #descriptions = new Map<AnswerForm, ToolDescription[]>();
  readonly #running = new RunningCalls();

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#tools = new Map(selectTools(options.tools, options.config).map((tool) => [tool.name, tool]));
    this.instructions = instructions(
      [...this.#tools.keys()],
      options.tools.map(({ name }) => name),
    );
  }

  /** The same tools in the same order for every client. */
  list(form: AnswerForm): ToolDescription[] {
    const known = this.#descriptions.get(form);
    if (known !== undefined) return known;
    const described = [...this.#tools.values()].map((tool) => describeTool(tool, form));
    this.#descriptions.set(form, described);
    return described;
  }

  /** Never rejects: errors are results too. */
  async call(request: ToolCallRequest): Promise<CallResult> {
    const progress = this.#progressOf(request);
    try {
      return await this.#run(request, request.signal, progress, null);
    } finally {
      await progress.close();
    }
  }

  /** The same for a client that knows tasks: a call that outlasts its wait becomes one. */
  async callOrTask(request: ToolCallRequest): Promise<{ result: CallResult } | { task: TaskState }> {
    const progress = this.#progressOf(request);
    const { controller, release } = abortWith(request.signal);
    let detach = (_name: string | null): void => {};
    const detached = new Promise<{ name: string | null }>((resolve) => {
      detach = (name) => {
        // The end of its request no longer cancels it.
        release();
        resolve({ name });
      };
    });
    try {
      const running = this.#run(request, controller.signal, progress, detach);
      const first = await Promise.race([running.then((result) => ({ result })), detached]);
      if ('result' in first) return first;
      return { task: this.tasks.add(first.name, running, () => controller.abort()) };
    } finally {
      release();
      await progress.close();
    }
  }

  #progressOf(request: ToolCallRequest): Progress {
    return createProgress(request.progressToken, (notification) => request.notify(notification));
  }

  #run(
    request: ToolCallRequest,
    cancelled: AbortSignal,
    progress: Progress,
    detach: ((name: string | null) => void) | null,
  ): Promise<CallResult> {
    const { session, config, log, callTimeout, onOutcome } = this.#options;
    const callMs = callTimeout?.callMs ?? config.callTimeoutMs;
    const softTimeoutMs = this.#options.softTimeoutMs ?? config.callTimeoutMs - UNDO_MS;
    const waitsUntil = performance.now() + callMs - UNDO_MS;
    const lifted = new AbortController();
    const continueAsTask = (name: string | null): void => {
      lifted.abort();
      detach?.(name);
    };
    return this.#running.run(cancelled, (signal, late) => {
      const context = {
        session,
        config,
        signal,
        confirm: (question: string, subject?: string) => requireConsent(request.ask, question, subject),
        continueAsTask: detach === null ? null : continueAsTask,
        wantsProgress: progress.wanted,
        progress: (line: string) => progress.report(config.secrets.mask(line)),
        softTimeoutMs,
        boundWait: (waitMs: number) => Math.max(0, Math.min(waitMs, waitsUntil - performance.now())),
        now: Date.now,
      };
      const limits = { ...callTimeout, callMs, late, lifted: lifted.signal };
      const { args, meta } = separateMeta(request.arguments);
      const traceParent = traceParentOf(request.meta) ?? traceParentOf(meta);
      const call = { name: request.name, arguments: args };
      return callTool(this.#tools, call, context, log, limits, request.form, (outcome) =>
        onOutcome?.({ ...outcome, traceParent }),
      );
    });
  }

  /** Cancels every call because the conversation is over, and resolves when all have finished. */
  end(reason: Error): Promise<void> {
    return this.#running.end(reason);
  }
}

/**
 * Separates `_meta` from the arguments. The Strands SDK (1.19.0) sends its trace context there instead of in the
 * request's `_meta` as soon as an application traces; no tool has an argument of that name.
 */
function separateMeta(given: unknown): { args: unknown; meta: unknown } {
  if (typeof given !== 'object' || given === null || !('_meta' in given))
    return { args: given, meta: undefined };
  const { _meta: meta, ...args } = given;
  return { args, meta };
}

function traceParentOf(meta: unknown): string | null {
  if (typeof meta !== 'object' || meta === null || !('traceparent' in meta)) return null;
  return typeof meta.traceparent === 'string' ? meta.traceparent : null;
}
