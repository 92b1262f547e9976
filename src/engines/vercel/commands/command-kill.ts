/** Signals to commands. */
import type { Session } from '@vercel/sandbox';
import { SandboxError } from '../../../shared/errors.ts';
import { signalNumber } from '../../../shared/signals.ts';
import type { KillCause } from '../../engine.ts';
import type { VercelContext } from '../context.ts';
import { killTree } from '../guest/kill-tree.ts';
import { explain, getSandbox, runningSession } from '../sandbox/get-sandbox.ts';
import { hasEnded } from '../sandbox/sandbox-view.ts';
import { type CommandRecord, readRecord, updateRecord } from '../state/command-record.ts';

/** HUP, INT, QUIT, KILL, TERM: the signals sent to end a program. */
const ENDING = [1, 2, 3, 9, 15];
const SIGKILL = 9;

/** True for the one signal that no program can catch. */
export function endsIt(signalName: string): boolean {
  return signalNumber(signalName) === SIGKILL;
}

/**
 * Sends a signal to a command and all its descendants, even after the command itself has ended. If the
 * sandbox has ended or is about to, there is nothing to signal, and that is not an error.
 *
 * @throws SandboxError `not_found`, `invalid_argument` for the signal, or the platform's error
 */
export async function sendSignal(
  context: VercelContext,
  commandId: string,
  signalName: string,
  cause: KillCause | 'timeout',
  signal: AbortSignal,
): Promise<void> {
  const paths = context.layout.command(commandId);
  const number = signalNumber(signalName);
  let record = await readRecord(paths, commandId);
  if (ENDING.includes(number) && record.end === null && record.killedFor === null) {
    // Before the signal is sent: the command's end may be reported before the response arrives.
    record = await updateRecord(paths, commandId, (known) => ({
      ...known,
      killedFor: known.killedFor ?? cause,
    }));
  }
  const doing = 'send a signal';
  let session: Session;
  try {
    session = await runningSession(context, paths.sandboxId, doing, signal);
  } catch (error) {
    if (await tookItAlong(context, commandId, error, signal)) return;
    throw error;
  }
  try {
    const reached = await reach(session, record, number, signal);
    if (reached === 0 && record.end === null) await platformKill(session, record, number, signal);
  } catch (error) {
    const failure = await explain(context, paths.sandboxId, doing, signal, error);
    if (await tookItAlong(context, commandId, failure, signal)) return;
    throw new SandboxError(failure.code, failure.message, {
      hint: 'Call again. If the sandbox has no process left to send the signal from, end it with sandbox_stop.',
      details: { ...failure.details, command_id: commandId },
      cause: error,
    });
  }
}

/**
 * True for a refusal because the sandbox is ending, and its commands with it; after any other refusal the
 * command keeps running. So it does after a snapshot that fails, which leaves the sandbox running.
 */
async function tookItAlong(
  context: VercelContext,
  commandId: string,
  refusal: unknown,
  signal: AbortSignal,
): Promise<boolean> {
  if (!(refusal instanceof SandboxError) || refusal.code !== 'conflict') return false;
  const { sandboxId } = context.layout.command(commandId);
  const { status } = await getSandbox(context, sandboxId, signal);
  if (status !== 'stopping' && !hasEnded({ status })) return false;
  context.log.debug(
    { command_id: commandId, status, err: refusal },
    'the sandbox ended before a signal was sent',
  );
  return true;
}

/** How many processes were signalled; 0 if the image lacks the tools to reach them. */
async function reach(
  session: Session,
  record: CommandRecord,
  number: number,
  signal: AbortSignal,
): Promise<number> {
  try {
    return await killTree(session, record.commandId, [number], signal);
  } catch (error) {
    if (error instanceof SandboxError && error.code === 'unsupported') return 0;
    throw error;
  }
}

/** The platform's own call, which signals only the command itself. */
async function platformKill(
  session: Session,
  record: CommandRecord,
  number: number,
  signal: AbortSignal,
): Promise<void> {
  if (record.platformId === null) return;
  const command = await session.getCommand(record.platformId, { signal });
  if (command.exitCode !== null) return;
  // The SDK's type has seven signals only by name, but it passes any number on.
  await command.kill(number, { abortSignal: signal });
}
