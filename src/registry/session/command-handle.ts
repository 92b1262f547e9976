import type {
  Command,
  Commands,
  KillCause,
  OutputSlice,
  OutputStream,
  ReadOutput,
} from '../../engines/engine.ts';
import { unknownCommand } from '../../shared/id-errors.ts';
import { sandboxIdOfCommand } from '../../shared/ids.ts';
import { readLogs } from '../logs/read-logs.ts';
import type { CommandHandle, Logs, LogsRequest, SandboxHandle } from '../types.ts';
import type { SessionCommands } from './session-commands.ts';

/** The sandbox that a command id names. @throws SandboxError `not_found` for text that is not a command id */
export function requireSandboxOf(commandId: string): string {
  const sandboxId = sandboxIdOfCommand(commandId);
  if (sandboxId === null) throw unknownCommand(commandId);
  return sandboxId;
}

/** A command in a sandbox that the session may see. Whether the command exists is up to the engine. */
export class RegistryCommandHandle implements CommandHandle {
  readonly commandId: string;
  readonly sandbox: SandboxHandle;
  readonly #engine: Commands;
  readonly #session: SessionCommands;

  constructor(commandId: string, sandbox: SandboxHandle, engine: Commands, session: SessionCommands) {
    this.commandId = commandId;
    this.sandbox = sandbox;
    this.#engine = engine;
    this.#session = session;
  }

  get(signal: AbortSignal): Promise<Command> {
    return this.#engine.get(this.commandId, signal);
  }

  wait(signal: AbortSignal): Promise<Command> {
    return this.#engine.wait(this.commandId, signal);
  }

  kill(signalName: string, cause: KillCause, signal: AbortSignal): Promise<Command> {
    return this.#engine.kill(this.commandId, signalName, cause, signal);
  }

  output(request: ReadOutput, signal: AbortSignal): Promise<OutputSlice> {
    return this.#engine.readOutput(this.commandId, request, signal);
  }

  logs(request: LogsRequest, signal: AbortSignal): Promise<Logs> {
    return readLogs(this, request, signal);
  }

  waitForOutput(totalBytes: number, signal: AbortSignal): Promise<Command> {
    return this.#engine.waitForOutput(this.commandId, totalBytes, signal);
  }

  countLines(
    range: { stream: OutputStream; start: number; end: number },
    signal: AbortSignal,
  ): Promise<number | null> {
    return this.#engine.countLines(this.commandId, range, signal);
  }

  addWaiter(): () => void {
    return this.#session.addWaiter(this.commandId);
  }
}

/** A handle with the command as it was when the handle was made. */
export class SeenCommandHandle extends RegistryCommandHandle {
  readonly seen: Command;

  constructor(seen: Command, sandbox: SandboxHandle, engine: Commands, session: SessionCommands) {
    super(seen.commandId, sandbox, engine, session);
    this.seen = seen;
  }
}
