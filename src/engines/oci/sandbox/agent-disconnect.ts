/** Why the agent has closed a connection under a call. */
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
 * What the agent says to a request that it can hardly refuse. PID 1 refuses what it has no process for and closes at
 * once: whoever writes at that moment meets a broken pipe and never reads the reason, which the next one may. Null where it
 * does what it is asked, or says nothing for 5 s.
 *
 * @throws SandboxError `cancelled`
 */
export async function refusalOf(
  agentSocket: string,
  signal: AbortSignal,
): Promise<AgentError | AgentDisconnectedError | null> {
  const patience = anySignal([signal, AbortSignal.timeout(ANSWER_MS)]);
  let gone: AgentDisconnectedError | null = null;
  for (let tried = 0; tried < TRIES; tried += 1) {
    try {
      const connection = await AgentConnection.open(agentSocket, patience);
      try {
        const answer = connection.expect(FRAME.STAT);
        // A refusal comes unasked, and is lost to whoever writes just then.
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
      if (patience.aborted) return gone;
      if (!(error instanceof AgentDisconnectedError)) throw error;
      gone = error;
    }
  }
  return gone;
}

/**
 * What `error` means, where it is that the agent has gone: itself where the sandbox has ended, else why it goes on and this
 * call does not. Anything else is answered as it is. `signal` ends the asking.
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
  return new SandboxError('unavailable', `Sandbox ${sandboxId} runs, but has cut this call off.`, {
    hint: 'Something inside may have killed what served it, or have taken every process: look with session_info and sandbox_run_command before it is called again.',
    details: { sandbox_id: sandboxId },
    cause: error,
  });
}
