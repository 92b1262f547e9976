/** Finds out why the agent closed a connection during a call. */
import { anySignal } from '../../../shared/async/any-signal.ts';
import { completesWithin, systemClock } from '../../../shared/clock.ts';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import type { OciContext } from '../context.ts';
import { AgentConnection, AgentDisconnectedError, AgentError } from '../protocol/agent-connection.ts';
import { encodeFields, FRAME, TAG } from '../protocol/frames.ts';
import { waitForSandboxEnd } from './wait-for-end.ts';

const TRIES = 10;
const UNASKED_MS = 20;
const ANSWER_MS = 5_000;

/**
 * Sends a PING to get the agent's reason for refusing. PID 1 refuses a connection for which it can start no
 * process and closes it at once: a client that is writing then gets EPIPE and never reads the reason, so try
 * again. Null if the agent answers, or says nothing for 5 s.
 *
 * @throws SandboxError `cancelled`
 */
export async function refusalOf(
  agentSocket: string,
  signal: AbortSignal,
): Promise<AgentError | AgentDisconnectedError | null> {
  const limit = anySignal([signal, AbortSignal.timeout(ANSWER_MS)]);
  let disconnected: AgentDisconnectedError | null = null;
  for (let tried = 0; tried < TRIES; tried += 1) {
    try {
      const connection = await AgentConnection.open(agentSocket, limit);
      try {
        const answer = connection.expect(FRAME.STAT);
        // A refusal is sent without a request, and is lost if this side is writing at that moment.
        if (!(await completesWithin(systemClock, UNASKED_MS, answer)))
          await connection.send(FRAME.STAT_REQUEST, encodeFields([[TAG.path, '/']]));
        await answer;
        return null;
      } finally {
        connection.close();
      }
    } catch (error) {
      throwIfCancelled(signal);
      if (error instanceof AgentError) return error;
      if (limit.aborted) return disconnected;
      if (!(error instanceof AgentDisconnectedError)) throw error;
      disconnected = error;
    }
  }
  return disconnected;
}

/**
 * Explains an `AgentDisconnectedError`: returns it unchanged if the sandbox has ended, else an error that
 * says why the call failed although the sandbox is running. Any other error is returned unchanged. `signal`
 * cancels the diagnosis.
 *
 * @throws SandboxError `cancelled`
 */
export async function diagnoseDisconnect(
  context: OciContext,
  sandboxId: string,
  error: unknown,
  signal: AbortSignal,
): Promise<unknown> {
  if (!(error instanceof AgentDisconnectedError)) return error;
  const { status } = await waitForSandboxEnd(context, sandboxId, signal);
  if (status !== 'running' && status !== 'pending') return error;
  const { layout } = await context.host();
  const refusal = await refusalOf(layout.sandbox(sandboxId).agentSocket, signal);
  if (refusal instanceof AgentError) return refusal;
  return new SandboxError(
    'unavailable',
    `Lost the connection to sandbox ${sandboxId}; the sandbox is still running.`,
    {
      hint: 'A program inside may have killed the process that served the call, or used up the process limit: check with session_info and sandbox_run_command before you repeat the call.',
      details: { sandbox_id: sandboxId },
      cause: error,
    },
  );
}
