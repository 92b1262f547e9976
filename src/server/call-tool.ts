import { randomBytes } from 'node:crypto';
import { z } from 'zod';
import type { Tool, ToolContext } from '../../tools/common/tool.ts';
import { tracedCall } from '../shared/async/traced.ts';
import { type ErrorCode, exhaustedError, SandboxError, throwIfCancelled } from '../shared/errors.ts';
import type { Logger } from '../shared/log.ts';
import { interrupted, SessionMoved } from '../shared/session-ended.ts';
import type { AnswerForm } from './answer-form.ts';
import { argumentError } from './argument-errors.ts';
import { type CallTimeout, withCallTimeout } from './call-timeout.ts';
import { forbiddenKeyIssue } from './forbidden-key.ts';
import { maskAnswer, maskError } from './mask-answer.ts';
import { type CallResult, renderAnswer, renderError } from './render.ts';
import { suggestTools } from './suggest-tools.ts';

/** How a call went, for statistics. */
export interface CallOutcome {
  /** Null if there is no such tool. */
  readonly tool: string | null;
  /** Null if it succeeded. */
  readonly code: ErrorCode | null;
  readonly durationMs: number;
  /** The `traceparent` of W3C Trace Context that the client sent along; null if it sent none. */
  readonly traceParent: string | null;
}

/**
 * The only path from a request to a tool and back: finds the tool, checks the arguments, runs it and converts
 * the outcome into a result. Never rejects.
 */
export function callTool(
  tools: ReadonlyMap<string, Tool>,
  request: { name: string; arguments: unknown },
  context: ToolContext,
  log: Logger,
  callTimeout: CallTimeout,
  form: AnswerForm = 'both',
  onOutcome: (outcome: Omit<CallOutcome, 'traceParent'>) => void = () => {},
): Promise<CallResult> {
  const known = tools.has(request.name) ? request.name : 'unknown tool';
  return tracedCall(known, () => answer(tools, request, context, log, callTimeout, form, onOutcome));
}

async function answer(
  tools: ReadonlyMap<string, Tool>,
  request: { name: string; arguments: unknown },
  context: ToolContext,
  log: Logger,
  callTimeout: CallTimeout,
  form: AnswerForm,
  onOutcome: (outcome: Omit<CallOutcome, 'traceParent'>) => void,
): Promise<CallResult> {
  const started = context.now();
  const report = (code: ErrorCode | null): number => {
    const durationMs = context.now() - started;
    onOutcome({ tool: tools.has(request.name) ? request.name : null, code, durationMs });
    return durationMs;
  };
  try {
    const tool = findTool(tools, request.name);
    const args = request.arguments ?? {};
    rejectForbiddenKeys(tool, args);
    const prepared = tool.prepare(args);
    if (prepared.error !== undefined) throw argumentError(tool, args, prepared.error);
    throwIfCancelled(context.signal);
    const run = (signal: AbortSignal) => prepared.run({ ...context, signal });
    const result = await withCallTimeout(tool, args, context.signal, callTimeout, run);
    log.debug({ tool: tool.name, duration_ms: report(null) }, 'tool call completed');
    return renderAnswer(maskAnswer(result, context.config.secrets), form);
  } catch (error) {
    const known = knownError(error, request.name, context.signal, log);
    log.debug({ tool: request.name, code: known.code, duration_ms: report(known.code) }, 'tool call failed');
    return renderError(maskError(known, context.config.secrets));
  }
}

function knownError(error: unknown, tool: string, { reason }: AbortSignal, log: Logger): SandboxError {
  if (!(error instanceof SandboxError)) return exhaustedError(error) ?? unexpected(error, tool, log);
  // Nobody has cancelled it, and what it began goes on.
  return error.code === 'cancelled' && reason instanceof SessionMoved ? interrupted(tool) : error;
}

/** The schemas silently ignore such a key. */
function rejectForbiddenKeys(tool: Tool, args: unknown): void {
  const issue = forbiddenKeyIssue(args);
  if (issue !== null) throw argumentError(tool, args, new z.ZodError([issue]));
}

function findTool(tools: ReadonlyMap<string, Tool>, name: string): Tool {
  const tool = tools.get(name);
  if (tool !== undefined) return tool;
  const all = [...tools.keys()];
  const near = suggestTools(name, all);
  throw new SandboxError('not_found', `There is no tool ${JSON.stringify(name.slice(0, 100))}.`, {
    hint: `Call ${near.length > 0 ? near.join(' or ') : `one of: ${all.join(', ')}`}.`,
  });
}

/** A defect: the log gets the details, the caller only a reference to them and nothing about this machine. */
function unexpected(error: unknown, tool: string, log: Logger): SandboxError {
  const reference = randomBytes(4).toString('hex');
  log.error(
    { err: error instanceof z.ZodError ? new Error(error.message) : error, tool, reference },
    'unexpected error',
  );
  return new SandboxError('internal', `Unexpected error in ${tool.slice(0, 100)}, reference ${reference}.`, {
    hint: "Check the current state (sandbox_get, session_info) before you try again; the server's log has the details.",
    details: { reference },
  });
}
