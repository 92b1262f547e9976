/**
 * Commands: started once on the platform, followed by this process, looked up in the stored records and the
 * platform.
 */
import { posix } from 'node:path';
import type { Session } from '@vercel/sandbox';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { TIMEOUT_GRACE_MS } from '../../../shared/signals.ts';
import type {
  Command,
  Commands,
  KillCause,
  OutputSlice,
  OutputStream,
  ReadOutput,
  StartCommand,
} from '../../engine.ts';
import type { Totals } from '../../output-log/log-format.ts';
import { countLines, readLog } from '../../output-log/read-log.ts';
import type { VercelContext } from '../context.ts';
import { killTree, MARK } from '../guest/kill-tree.ts';
import { mayHaveHappened } from '../http/api-errors.ts';
import { explain, getSandbox, runningSession } from '../sandbox/get-sandbox.ts';
import { requireDirectory } from '../sandbox/require-directory.ts';
import {
  type CommandRecord,
  listCommandIds,
  readRecord,
  removeIntent,
  updateRecord,
  writeIntent,
} from '../state/command-record.ts';
import type { CommandPaths } from '../state/state-layout.ts';
import { withInput } from './command-input.ts';
import { endsIt, sendSignal } from './command-kill.ts';
import type { CommandFollow } from './command-stream.ts';
import { CommandTracker, type TrackedCommand } from './command-tracker.ts';
import { runningView } from './command-view.ts';
import { captureDirectory, hasCapture, isOf } from './output-captures.ts';

const UNDO_MS = 10_000;
const SIGKILL = 9;

const never = new AbortController().signal;

export class VercelCommands implements Commands {
  readonly #context: VercelContext;
  readonly #tracker: CommandTracker;

  constructor(context: VercelContext) {
    this.#context = context;
    this.#tracker = new CommandTracker(context);
  }

  async start(request: StartCommand, signal: AbortSignal): Promise<Command> {
    const { sandboxId, commandId } = request;
    const paths = this.#context.layout.command(commandId);
    const env = this.#context.secrets.fillEnvironment(request.env);
    const doing = 'run a command';
    const session = await runningSession(this.#context, sandboxId, doing, signal);
    const cwd = request.cwd === null ? session.cwd : posix.resolve(session.cwd, request.cwd);
    if (request.cwd !== null) await requireDirectory(this.#context, sandboxId, cwd, signal);
    throwIfCancelled(signal);
    const program = await withInput(session, request, signal);
    // Not cancellable from here on: a requested command is either started and known, or refused.
    await writeIntent(paths, intentOf(request, cwd));
    const started = await this.#start(session, { ...request, ...program, env }, cwd, paths);
    const record = await updateRecord(paths, commandId, (known) => ({
      ...known,
      state: 'started',
      platformId: started.cmdId,
    }));
    const follow = this.#tracker.follow(record, paths, started);
    return runningView(record, sandboxId, follow.totals);
  }

  async get(commandId: string, signal: AbortSignal): Promise<Command> {
    return this.#current(await this.#tracker.get(commandId, signal), signal);
  }

  async list(sandboxId: string, signal: AbortSignal): Promise<Command[]> {
    await getSandbox(this.#context, sandboxId, signal);
    const commands: Command[] = [];
    for (const id of await listCommandIds(this.#context.layout, sandboxId)) {
      try {
        // Without reading further: that costs a request per command.
        commands.push((await this.#tracker.get(id, signal)).command);
      } catch (error) {
        // It is unknown whether it ever ran, so it is left out.
        if (!(error instanceof SandboxError) || error.code !== 'not_found') throw error;
      }
    }
    return commands.sort((a, b) => a.startedAt - b.startedAt);
  }

  async wait(commandId: string, signal: AbortSignal): Promise<Command> {
    const command = await this.#until(commandId, null, signal);
    const { follow } = await this.#tracker.get(commandId, signal);
    return this.#current({ command, follow }, signal);
  }

  async waitForOutput(commandId: string, totalBytes: number, signal: AbortSignal): Promise<Command> {
    return this.#until(
      commandId,
      (command) => command.stdoutBytes + command.stderrBytes > totalBytes,
      signal,
    );
  }

  async readOutput(commandId: string, request: ReadOutput, signal: AbortSignal): Promise<OutputSlice> {
    const { directory, totals } = await this.#captured(commandId, signal);
    const { stdout, stderr } = totals;
    return readLog(directory, request, { stdout, stderr, both: stdout + stderr }[request.stream]);
  }

  async countLines(
    commandId: string,
    range: { stream: OutputStream; start: number; end: number },
    signal: AbortSignal,
  ): Promise<number | null> {
    return countLines((await this.#captured(commandId, signal)).directory, range);
  }

  /**
   * The log that holds most of a command's output, with everything written so far, and the totals of the
   * command.
   */
  async #captured(commandId: string, signal: AbortSignal): Promise<{ directory: string; totals: Totals }> {
    const { command, follow } = await this.#tracker.get(commandId, signal);
    if (follow !== null) await this.#requireReading(commandId, follow, signal);
    const { layout } = this.#context;
    const { end } = await readRecord(layout.command(commandId), commandId);
    const isHere =
      end !== null &&
      !(follow !== null && isOf(end, follow.log)) &&
      (await hasCapture(layout, commandId, end));
    if (follow !== null && !isHere) {
      if (command.status === 'finished') await this.#tracker.refresh(commandId, follow, signal);
      follow.log.flush();
      return { directory: follow.log.directory, totals: follow.totals };
    }
    const totals = { stdout: end?.stdoutBytes ?? 0, stderr: end?.stderrBytes ?? 0 };
    return { directory: captureDirectory(layout, commandId, end?.capture ?? null), totals };
  }

  async kill(commandId: string, signalName: string, cause: KillCause, signal: AbortSignal): Promise<Command> {
    await sendSignal(this.#context, commandId, signalName, cause, signal);
    const command = await this.get(commandId, signal);
    // Nothing survives SIGKILL: the caller gets the end.
    if (command.status === 'running' && endsIt(signalName)) await this.#tracker.endsSoon(commandId, signal);
    return this.get(commandId, signal);
  }

  /** A finished command including the bytes that were written after its end. */
  async #current({ command, follow }: TrackedCommand, signal: AbortSignal): Promise<Command> {
    if (command.status === 'running' || follow === null) return command;
    await this.#tracker.refresh(command.commandId, follow, signal);
    return (await this.#tracker.get(command.commandId, signal)).command;
  }

  /** Closes every stream; the commands keep running. */
  close(): void {
    this.#tracker.close();
  }

  /**
   * @throws SandboxError if the output cannot be read at present: missing output is never omitted silently
   */
  async #requireReading(commandId: string, follow: CommandFollow, signal: AbortSignal): Promise<void> {
    await follow.readOn(signal);
    if (follow.readFailure === null || follow.isCut) return;
    const { sandboxId } = this.#context.layout.command(commandId);
    const doing = 'read the output of a command';
    throw await explain(this.#context, sandboxId, doing, signal, follow.readFailure.error);
  }

  async #start(session: Session, request: StartCommand, cwd: string, paths: CommandPaths) {
    const { sandboxId, commandId, cmd, args, env, sudo, timeoutMs } = request;
    try {
      return await session.runCommand({
        cmd,
        args,
        ...(request.cwd !== null && { cwd }),
        env: { ...env, [MARK]: commandId },
        sudo,
        detached: true,
        // The platform's own limit applies if this process is gone; it can only send SIGKILL.
        ...(timeoutMs !== null && { timeoutMs: timeoutMs + TIMEOUT_GRACE_MS }),
      });
    } catch (error) {
      const failure = await explain(this.#context, sandboxId, 'run a command', never, error);
      if (!mayHaveHappened(error)) {
        await removeIntent(paths);
        throw failure;
      }
      await this.#endUnknown(session, commandId);
      throw new SandboxError(
        failure.code,
        `${failure.message} It is unknown whether ${commandId} ran; it is not run again, and the processes found were killed.`,
        {
          hint: 'Check in the sandbox what it has done before you run it again; that gets a new id.',
          details: { ...failure.details, command_id: commandId },
          cause: error,
        },
      );
    }
  }

  /** A command whose start was never confirmed could never be seen or stopped. Never rejects. */
  async #endUnknown(session: Session, commandId: string): Promise<void> {
    try {
      await killTree(session, commandId, [SIGKILL], AbortSignal.timeout(UNDO_MS));
    } catch (error) {
      this.#context.log.warn(
        { command_id: commandId, err: error },
        'cannot kill a command that may have started',
      );
    }
  }

  /** @param enough output; null to wait for the end only */
  async #until(
    commandId: string,
    enough: ((command: Command) => boolean) | null,
    signal: AbortSignal,
  ): Promise<Command> {
    for (;;) {
      throwIfCancelled(signal);
      const { command, follow } = await this.#tracker.get(commandId, signal);
      if (follow === null || command.status === 'finished' || enough?.(command)) return command;
      if (enough !== null) await this.#requireReading(commandId, follow, signal);
      await this.#tracker.waitForChange(follow, signal);
    }
  }
}

function intentOf(request: StartCommand, cwd: string): CommandRecord {
  return {
    version: 1,
    commandId: request.commandId,
    cmd: request.cmd,
    args: request.args,
    cwd,
    startedAt: Date.now(),
    timeoutMs: request.timeoutMs,
    state: 'asked',
    platformId: null,
    killedFor: null,
    end: null,
  };
}
