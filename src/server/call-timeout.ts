/** The promise that every call is answered before a client gives up on it, whatever the engine does. */
import type { Tool } from '../../tools/common/tool.ts';
import { abortWith, onAbort } from '../shared/async/on-abort.ts';
import { SandboxError } from '../shared/errors.ts';

/** How much later than its own `wait_ms` a call may answer. */
const BEYOND_WAIT_MS = 5_000;

export interface CallTimeout {
  /** Milliseconds for a call without `wait_ms`. */
  readonly callMs: number;
  /** Fires when the call has been answered and continues as a task, which is not limited. */
  readonly lifted?: AbortSignal;
  /** For tests. */
  readonly beyondWaitMs?: number;
  /** Receives the work that continues after its call was answered. It never rejects. */
  late(work: Promise<unknown>): void;
}

/**
 * The outcome of `work`, or an error once time is up. A call that only reads is then cancelled. Any other
 * call continues: an unanswered request may have been carried out, and cancelling it could undo what the
 * caller wanted.
 *
 * @throws `timeout` with the next step
 */
export async function withCallTimeout<Result>(
  tool: Tool,
  args: unknown,
  signal: AbortSignal,
  callTimeout: CallTimeout,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const limitMs = limitOf(args, callTimeout);
  const { controller, release } = abortWith(signal);
  const running = work(controller.signal).finally(release);
  let timer: NodeJS.Timeout | undefined;
  const timeUp = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), limitMs);
  });
  const stop = callTimeout.lifted && onAbort(callTimeout.lifted, () => clearTimeout(timer));
  try {
    const first = await Promise.race([running.then((result) => ({ result })), timeUp]);
    if (first !== null) return first.result;
  } finally {
    clearTimeout(timer);
    stop?.();
  }
  const reads = tool.annotations.readOnlyHint;
  if (reads) controller.abort();
  callTimeout.late(running.catch(() => undefined));
  throw new SandboxError('timeout', `No answer to ${tool.name} within ${limitMs / 1_000} s.`, {
    hint: reads
      ? 'Call it again; `sandbox-mcp doctor` shows the operator whether the engine can be reached.'
      : HINT,
  });
}

const HINT =
  'It continues and may still take effect: call session_info, which lists sandboxes and commands, before you repeat it.';

function limitOf(args: unknown, callTimeout: CallTimeout): number {
  const { callMs, beyondWaitMs = BEYOND_WAIT_MS } = callTimeout;
  const waitMs = typeof args === 'object' && args !== null && 'wait_ms' in args ? args.wait_ms : null;
  return typeof waitMs === 'number' ? Math.min(callMs, waitMs + beyondWaitMs) : callMs;
}
