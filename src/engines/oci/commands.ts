/** Commands: started by the agent, followed through their supervisors, looked up from what is on disk. */
import { rm } from 'node:fs/promises';
import { SandboxError, throwIfCancelled } from '../../shared/errors.ts';
import { signalNumber } from '../../shared/signals.ts';
import type { Command, Commands, KillCause, OutputSlice, ReadOutput, StartCommand } from '../engine.ts';
import { AgentConnection, AgentError, AgentGone } from './agent-connection.ts';
import { fromAgent } from './agent-errors.ts';
import { outOfMemoryKills } from './cgroups.ts';
import {
  type CommandPaths,
  type CommandRecord,
  commandPaths,
  exists,
  listCommandIds,
  readCommandRecord,
  unknownCommand,
  writeCommandRecord,
} from './command-record.ts';
import { cutOffCommand, finishedCommand, readExit, runningCommand } from './command-state.ts';
import { CommandWatch } from './command-watch.ts';
import type { OciContext } from './context.ts';
import { encodeFields, FRAME, TAG } from './frames.ts';
import { readLog, readLogTotals } from './log-segments.ts';
import { absolutePath, encodeRun } from './run-request.ts';
import type { SandboxRecord } from './sandbox-record.ts';
import { settledRecord } from './settle.ts';

const CAUSES: Record<KillCause, number> = { killed: 1, cancelled: 2, session_end: 3 };

export class OciCommands implements Commands {
  readonly #context: OciContext;
  readonly #watches = new Map<string, CommandWatch>();

  constructor(context: OciContext) {
    this.#context = context;
  }

  async start(request: StartCommand, signal: AbortSignal): Promise<Command> {
    const sandbox = await this.#running(request.sandboxId);
    const paths = await this.#paths(request.commandId);
    const cwd = absolutePath(request.cwd ?? '', null);
    const body = encodeRun(sandbox, request, cwd);
    const record: CommandRecord = {
      commandId: request.commandId,
      cmd: request.cmd,
      args: request.args,
      cwd,
      startedAt: Date.now(),
      outOfMemoryKills: outOfMemoryKills(sandbox.cgroups),
    };
    throwIfCancelled(signal);
    if (await exists(paths.record)) throw startedAlready();
    // No abort from here on: a command that was asked for is either started and known, or refused.
    const [connection] = await Promise.all([
      this.#connect(paths.sandbox.agentSocket),
      writeCommandRecord(paths, record),
    ]);
    try {
      await connection.send(FRAME.RUN, body);
      await connection.expect(FRAME.STARTED);
    } catch (error) {
      connection.close();
      await rm(paths.record, { force: true });
      throw startFailure(error, cwd);
    }
    this.#follow(request.commandId, new CommandWatch(connection));
    return runningCommand(record, request.sandboxId, { stdout: 0, stderr: 0 });
  }

  async get(commandId: string, signal: AbortSignal): Promise<Command> {
    return (await this.#look(commandId, signal)).command;
  }

  async list(sandboxId: string, signal: AbortSignal): Promise<Command[]> {
    const host = await this.#context.host();
    await settledRecord(this.#context, sandboxId);
    const ids = await listCommandIds(host.layout.sandbox(sandboxId));
    const commands: Command[] = [];
    for (const id of ids) {
      try {
        commands.push(await this.get(id, signal));
      } catch (error) {
        // Refused before it began, e.g. for its cwd: only the intent was written.
        if (!(error instanceof SandboxError) || error.code !== 'not_found') throw error;
      }
    }
    return commands.sort((a, b) => a.startedAt - b.startedAt);
  }

  async wait(commandId: string, signal: AbortSignal): Promise<Command> {
    return this.#until(commandId, () => false, signal);
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
    const paths = await this.#paths(commandId);
    const { stdoutBytes, stderrBytes } = command;
    const total = { stdout: stdoutBytes, stderr: stderrBytes, both: stdoutBytes + stderrBytes }[
      request.stream
    ];
    return readLog(paths.agentDir, request, total);
  }

  async kill(commandId: string, signalName: string, cause: KillCause, signal: AbortSignal): Promise<Command> {
    const paths = await this.#paths(commandId);
    const number = signalNumber(signalName);
    // Unknown ids are told as such, whether or not a supervisor is there.
    await readCommandRecord(paths, commandId);
    try {
      const connection = await AgentConnection.open(paths.socket, signal);
      try {
        await connection.request(
          FRAME.KILL,
          encodeFields([
            [TAG.signal, number],
            [TAG.cause, CAUSES[cause]],
          ]),
        );
      } finally {
        connection.close();
      }
    } catch (error) {
      // Without a supervisor nothing of the command is left: there is nothing to kill, and that is no error.
      if (!(error instanceof AgentGone)) throw fromAgent(error, commandId);
    }
    return this.get(commandId, signal);
  }

  /** Lets go of every connection; the commands go on. */
  close(): void {
    for (const watch of this.#watches.values()) watch.close();
  }

  async #paths(commandId: string): Promise<CommandPaths> {
    return commandPaths((await this.#context.host()).layout, commandId);
  }

  async #running(sandboxId: string): Promise<SandboxRecord> {
    const sandbox = await settledRecord(this.#context, sandboxId);
    if (sandbox.status === 'running') return sandbox;
    throw new SandboxError(
      'conflict',
      `Sandbox ${sandboxId} is ${sandbox.status}; no command can run in it.`,
      {
        hint: 'Call sandbox_create for a new one; logs and exit codes of this one stay readable.',
      },
    );
  }

  async #connect(socket: string): Promise<AgentConnection> {
    try {
      return await AgentConnection.open(socket, null);
    } catch (error) {
      throw fromAgent(error, 'the sandbox');
    }
  }

  #follow(commandId: string, watch: CommandWatch): void {
    this.#watches.set(commandId, watch);
    watch
      .follow()
      .catch((error: unknown) => this.#context.log.warn({ commandId, err: error }, 'lost sight of a command'))
      .finally(() => this.#watches.delete(commandId));
  }

  /** The command as it stands, and the watch that tells its news; attaches to a running one that is not watched yet. */
  async #look(
    commandId: string,
    signal: AbortSignal,
  ): Promise<{ command: Command; watch: CommandWatch | null }> {
    const paths = await this.#paths(commandId);
    const record = await readCommandRecord(paths, commandId);
    const watch = this.#watches.get(commandId) ?? null;
    if (watch !== null && !watch.closed) {
      return { command: runningCommand(record, paths.sandboxId, watch.totals), watch };
    }
    const sandbox = await settledRecord(this.#context, paths.sandboxId);
    const exit = await readExit(paths);
    if (exit !== null) return { command: finishedCommand(record, sandbox, exit), watch: null };
    const attached = await this.#attach(commandId, paths, signal);
    const totals = await readLogTotals(paths.agentDir);
    if (attached !== null) {
      attached.totals = totals;
      return { command: runningCommand(record, paths.sandboxId, totals), watch: attached };
    }
    // It may have ended between the two looks.
    const late = await readExit(paths);
    if (late !== null) return { command: finishedCommand(record, sandbox, late), watch: null };
    // The server died between writing its intent and asking the agent: the command never began.
    if (!(await exists(paths.agentDir))) throw unknownCommand(commandId);
    return { command: cutOffCommand(record, sandbox, totals), watch: null };
  }

  async #attach(commandId: string, paths: CommandPaths, signal: AbortSignal): Promise<CommandWatch | null> {
    throwIfCancelled(signal);
    try {
      const connection = await AgentConnection.open(paths.socket, null);
      await connection.send(FRAME.ATTACH);
      const watch = new CommandWatch(connection);
      this.#follow(commandId, watch);
      return watch;
    } catch (error) {
      if (error instanceof AgentGone) return null;
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
      const { command, watch } = await this.#look(commandId, signal);
      if (watch === null || command.status === 'finished' || enough(command)) return command;
      await watch.news(signal);
    }
  }
}

function startedAlready(): SandboxError {
  return new SandboxError('conflict', 'A command of this id was started already; it is not run twice.', {
    hint: 'Call sandbox_get_command to see how it stands.',
  });
}

function startFailure(error: unknown, cwd: string): unknown {
  if (error instanceof AgentError && error.errno === 'EEXIST') return startedAlready();
  if (error instanceof AgentError && error.what === 'cwd') {
    return new SandboxError(
      'invalid_argument',
      `The working directory "${cwd}" cannot be entered (${error.errno}).`,
      {
        hint: 'Make it with sandbox_mk_dir, or leave cwd out to work in /vercel/sandbox.',
        details: { cwd, errno: error.errno },
      },
    );
  }
  return fromAgent(error, cwd);
}
