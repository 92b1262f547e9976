/** Commands: started by the agent, followed through their supervisors, read from disk. */
import { rm } from 'node:fs/promises';
import { traced } from '../../../shared/async/traced.ts';
import { SandboxError, throwIfCancelled } from '../../../shared/errors.ts';
import { pathExists } from '../../../shared/fs/path-exists.ts';
import { absolutePath } from '../../../shared/fs/sandbox-path.ts';
import { unknownCommand } from '../../../shared/id-errors.ts';
import { signalNumber } from '../../../shared/signals.ts';
import type {
  Command,
  Commands,
  KillCause,
  OutputSlice,
  OutputStream,
  ReadOutput,
  StartCommand,
} from '../../engine.ts';
import { countLines, readLog, readLogTotals } from '../../output-log/read-log.ts';
import type { OciContext } from '../context.ts';
import { outOfMemoryKills } from '../host/cgroups.ts';
import { AgentConnection, AgentDisconnectedError } from '../protocol/agent-connection.ts';
import { FRAME } from '../protocol/frames.ts';
import { startFailure } from '../protocol/start-failure.ts';
import { diagnoseDisconnect } from '../sandbox/agent-disconnect.ts';
import { reconcileRecord } from '../sandbox/reconcile.ts';
import { type AllowedStatus, requireStatus } from '../sandbox/require-status.ts';
import { waitForSandboxEnd } from '../sandbox/wait-for-end.ts';
import {
  type CommandPaths,
  type CommandRecord,
  commandPaths,
  listCommandIds,
  readCommandRecord,
  recordOutOfMemory,
  writeCommandRecord,
} from '../state/command-record.ts';
import type { SandboxRecord } from '../state/sandbox-record.ts';
import { commandOfEndedSandbox, finishedCommand, readExit, runningCommand } from './command-state.ts';
import { CommandWatch } from './command-watch.ts';
import { encodeRun } from './exec-request.ts';
import { hasLiveProcesses } from './has-live-processes.ts';
import { requestKill } from './request-kill.ts';
import { requestRun } from './request-run.ts';

/** For work that no caller may cancel. */
const never = new AbortController().signal;
/** Finished commands cached in memory; older ones are read from disk again. */
const MAX_FINISHED = 1_000;

export class OciCommands implements Commands {
  readonly #context: OciContext;
  readonly #allowedStatus: AllowedStatus;
  readonly #watches = new Map<string, CommandWatch>();
  readonly #finished = new Map<string, Command>();

  /** @param allowedStatus the status a sandbox must have to start commands in it */
  constructor(context: OciContext, allowedStatus: AllowedStatus = 'running') {
    this.#context = context;
    this.#allowedStatus = allowedStatus;
  }

  start(request: StartCommand, signal: AbortSignal): Promise<Command> {
    return this.#context.stock.during(() =>
      traced('engine', 'start of the command', () => this.#start(request, signal)),
    );
  }

  async #start(request: StartCommand, signal: AbortSignal): Promise<Command> {
    const sandbox = await this.#running(request.sandboxId);
    const paths = await this.#paths(request.commandId);
    const cwd = absolutePath(request.cwd ?? '', null);
    const body = encodeRun(sandbox, request, cwd, this.#context);
    const record: CommandRecord = {
      commandId: request.commandId,
      cmd: request.cmd,
      args: request.args,
      cwd,
      startedAt: Date.now(),
      outOfMemoryKills: outOfMemoryKills(sandbox.cgroups),
    };
    throwIfCancelled(signal);
    // No abort from here on: a requested command is either started and recorded, or refused.
    writeCommandRecord(paths, record);
    try {
      const connection = await requestRun(paths.sandbox.agentSocket, body);
      this.#follow(request.commandId, new CommandWatch(record, connection, { stdout: 0, stderr: 0 }));
    } catch (error) {
      await rm(paths.record, { force: true });
      throw startFailure(await diagnoseDisconnect(this.#context, request.sandboxId, error, signal), cwd);
    }
    return runningCommand(record, request.sandboxId, { stdout: 0, stderr: 0 });
  }

  async get(commandId: string, signal: AbortSignal): Promise<Command> {
    return this.#withRest((await this.#load(commandId, signal)).command);
  }

  async list(sandboxId: string, signal: AbortSignal): Promise<Command[]> {
    const host = await this.#context.host();
    await reconcileRecord(this.#context, sandboxId);
    const ids = await listCommandIds(host.layout.sandbox(sandboxId));
    const commands: Command[] = [];
    for (const id of ids) {
      try {
        commands.push(await this.get(id, signal));
      } catch (error) {
        // Refused before it started, e.g. because of its cwd: only the record of the intent was written.
        if (!(error instanceof SandboxError) || error.code !== 'not_found') throw error;
      }
    }
    return commands.sort((a, b) => a.startedAt - b.startedAt);
  }

  async wait(commandId: string, signal: AbortSignal): Promise<Command> {
    return traced('engine', 'wait for the end', async () =>
      this.#withRest(await this.#until(commandId, () => false, signal)),
    );
  }

  async waitForOutput(commandId: string, totalBytes: number, signal: AbortSignal): Promise<Command> {
    return this.#until(
      commandId,
      (command) => command.stdoutBytes + command.stderrBytes > totalBytes,
      signal,
    );
  }

  async readOutput(commandId: string, request: ReadOutput, signal: AbortSignal): Promise<OutputSlice> {
    const command = await this.get(commandId, signal);
    const { stdoutBytes: stdout, stderrBytes: stderr } = command;
    const totals = { stdout, stderr, both: stdout + stderr };
    return readLog((await this.#paths(commandId)).agentDir, request, totals[request.stream]);
  }

  async countLines(
    commandId: string,
    range: { stream: OutputStream; start: number; end: number },
  ): Promise<number | null> {
    return countLines((await this.#paths(commandId)).agentDir, range);
  }

  async kill(commandId: string, signalName: string, cause: KillCause, signal: AbortSignal): Promise<Command> {
    const paths = await this.#paths(commandId);
    const number = signalNumber(signalName);
    // An unknown id is `not_found`, whether or not there is a supervisor.
    await readCommandRecord(paths, commandId);
    const command = { commandId, socket: paths.socket };
    const signalled = await requestKill(command, { signalNumber: number, cause }, signal);
    this.#context.log.debug({ commandId, signal: signalName, signalled }, 'signalled a command');
    return this.get(commandId, signal);
  }

  /** Closes every connection; the commands keep running. */
  close(): void {
    for (const watch of this.#watches.values()) watch.close();
  }

  /**
   * A finished command with what its remaining processes have written since; the record of its end has none
   * of that.
   */
  async #withRest(command: Command): Promise<Command> {
    if (command.status === 'running' || command.hasLiveProcesses === false) return command;
    const paths = await this.#paths(command.commandId);
    // Before the totals: once no process is left, they are final.
    const live = await hasLiveProcesses(paths);
    const totals = await readLogTotals(paths.agentDir).catch((err: unknown) => {
      // How the command ended is known without its log.
      this.#context.log.warn({ commandId: command.commandId, err }, 'cannot read the log of a command');
      return { stdout: 0, stderr: 0 };
    });
    const whole = {
      ...command,
      stdoutBytes: Math.max(command.stdoutBytes, totals.stdout),
      stderrBytes: Math.max(command.stderrBytes, totals.stderr),
      hasLiveProcesses: live,
    };
    if (!live && this.#finished.has(command.commandId)) this.#finished.set(command.commandId, whole);
    return whole;
  }

  async #paths(commandId: string): Promise<CommandPaths> {
    return commandPaths((await this.#context.host()).layout, commandId);
  }

  async #running(sandboxId: string): Promise<SandboxRecord> {
    const sandbox = await reconcileRecord(this.#context, sandboxId);
    requireStatus(sandbox, this.#allowedStatus, 'no command can run in it');
    // The sandbox's environment is not meant for the programs that populate it.
    return this.#allowedStatus === 'pending' ? { ...sandbox, env: {} } : sandbox;
  }

  /** Removes a command from the list. Its logs are removed with the sandbox. */
  async discard(commandId: string): Promise<void> {
    this.#finished.delete(commandId);
    await rm((await this.#paths(commandId)).record, { force: true });
  }

  #follow(commandId: string, watch: CommandWatch): void {
    this.#watches.set(commandId, watch);
    watch
      .follow()
      .then(() => this.#finish(commandId, watch))
      .catch((error: unknown) =>
        this.#context.log.warn({ commandId, err: error }, 'lost the connection to a command’s supervisor'),
      );
  }

  /** The command's state after its watch ended; attaches again if the watch was disconnected. */
  async #finish(commandId: string, watch: CommandWatch): Promise<void> {
    if (watch.exit !== null) await this.#load(commandId, never);
    else if (this.#watches.get(commandId) === watch) this.#watches.delete(commandId);
  }

  /** The command's state and its watch; attaches to a running command that is not watched yet. */
  async #load(
    commandId: string,
    signal: AbortSignal,
  ): Promise<{ command: Command; watch: CommandWatch | null }> {
    const finished = this.#finished.get(commandId);
    if (finished !== undefined) return { command: finished, watch: null };
    const watch = this.#watches.get(commandId);
    const paths = await this.#paths(commandId);
    if (watch !== undefined && !watch.closed) {
      return { command: runningCommand(watch.record, paths.sandboxId, watch.totals), watch };
    }
    const record = watch?.record ?? (await readCommandRecord(paths, commandId));
    const sandbox = await reconcileRecord(this.#context, paths.sandboxId);
    const seen = watch?.exit ?? null;
    const exit = seen ?? (await readExit(paths));
    if (exit !== null)
      return this.#ended(record, paths, finishedCommand(record, sandbox, exit, seen !== null));
    const attached = await this.#attach(record, paths, signal);
    if (attached !== null) {
      return { command: runningCommand(record, paths.sandboxId, attached.totals), watch: attached };
    }
    // It may have ended between the two reads.
    const late = await readExit(paths);
    if (late !== null) return this.#ended(record, paths, finishedCommand(record, sandbox, late, true));
    // The server died between writing its intent and asking the agent: the command never began.
    if (!(await pathExists(paths.agentDir))) throw unknownCommand(commandId);
    const ended = await waitForSandboxEnd(this.#context, paths.sandboxId, signal);
    return {
      command: commandOfEndedSandbox(record, ended, await readLogTotals(paths.agentDir)),
      watch: null,
    };
  }

  /** Caches a command that ended by itself: only the output of its descendants can still change. */
  async #ended(
    record: CommandRecord,
    paths: CommandPaths,
    command: Command,
  ): Promise<{ command: Command; watch: null }> {
    if (command.ranOutOfMemory === true && record.ranOutOfMemory !== true) {
      await recordOutOfMemory(paths, record).catch((err: unknown) =>
        this.#context.log.warn({ commandId: command.commandId, err }, 'cannot record the end of a command'),
      );
    }
    if (this.#finished.size >= MAX_FINISHED) this.#finished.clear();
    this.#finished.set(command.commandId, command);
    this.#watches.delete(command.commandId);
    return { command, watch: null };
  }

  async #attach(
    record: CommandRecord,
    paths: CommandPaths,
    signal: AbortSignal,
  ): Promise<CommandWatch | null> {
    throwIfCancelled(signal);
    try {
      // The first event of a quiet command may be its exit.
      const connection = await AgentConnection.open(paths.socket, null, { firstFrameMs: null });
      await connection.send(FRAME.ATTACH);
      const watch = new CommandWatch(record, connection, await readLogTotals(paths.agentDir));
      this.#follow(record.commandId, watch);
      return watch;
    } catch (error) {
      if (error instanceof AgentDisconnectedError) return null;
      throw error;
    }
  }

  async #until(
    commandId: string,
    enough: (command: Command) => boolean,
    signal: AbortSignal,
  ): Promise<Command> {
    for (;;) {
      throwIfCancelled(signal);
      const { command, watch } = await this.#load(commandId, signal);
      if (watch === null || command.status === 'finished' || enough(command)) return command;
      await watch.waitForChange(signal);
    }
  }
}
