import type {
  Command,
  Commands,
  EndedBy,
  Files,
  KillCause,
  OutputSlice,
  Sandbox,
  StartCommand,
} from '../../src/engines/engine.ts';
import { SandboxError, throwIfCancelled } from '../../src/shared/errors.ts';
import { unknownCommand } from '../../src/shared/id-errors.ts';

/**
 * The commands of the stand-in engine: they run until the test, a kill or the sandbox's end finishes them.
 */
export class MemoryCommands implements Commands {
  readonly #now: () => number;
  readonly #sandbox: (sandboxId: string) => Sandbox;
  readonly #commands = new Map<string, Command>();
  readonly #finished = new EventTarget();

  constructor(now: () => number, sandbox: (sandboxId: string) => Sandbox) {
    this.#now = now;
    this.#sandbox = sandbox;
  }

  /** The command's first process ends. */
  finish(commandId: string, exitCode = 0): void {
    this.#end(this.#find(commandId), exitCode, null, 'exit');
  }

  endAll(sandboxId: string, endedBy: EndedBy): void {
    for (const command of this.#commands.values()) {
      if (command.sandboxId === sandboxId) this.#end(command, 137, 'SIGKILL', endedBy);
    }
  }

  async start(request: StartCommand, signal: AbortSignal): Promise<Command> {
    throwIfCancelled(signal);
    const { commandId, sandboxId, cmd, args } = request;
    const sandbox = this.#sandbox(sandboxId);
    if (sandbox.status !== 'running')
      throw new SandboxError('conflict', `${sandboxId} is ${sandbox.status}.`);
    if (this.#commands.has(commandId)) throw new SandboxError('conflict', `${commandId} was started before.`);
    const command: Command = {
      commandId,
      sandboxId,
      cmd,
      args,
      cwd: request.cwd ?? sandbox.cwd,
      status: 'running',
      exitCode: null,
      signal: null,
      endedBy: null,
      startedAt: this.#now(),
      durationMs: 0,
      stdoutBytes: 0,
      stderrBytes: 0,
    };
    this.#commands.set(commandId, command);
    return { ...command };
  }

  async get(commandId: string): Promise<Command> {
    return { ...this.#find(commandId) };
  }

  async list(sandboxId: string): Promise<Command[]> {
    return [...this.#commands.values()].filter((command) => command.sandboxId === sandboxId);
  }

  async wait(commandId: string, signal: AbortSignal): Promise<Command> {
    const command = this.#find(commandId);
    throwIfCancelled(signal);
    if (command.status === 'running') {
      await new Promise<void>((resolve) => {
        this.#finished.addEventListener(commandId, () => resolve(), { once: true });
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      throwIfCancelled(signal);
    }
    return { ...command };
  }

  /** No command writes output, so there is only the end to wait for. */
  waitForOutput(commandId: string, _totalBytes: number, signal: AbortSignal): Promise<Command> {
    return this.wait(commandId, signal);
  }

  async readOutput(commandId: string): Promise<OutputSlice> {
    this.#find(commandId);
    return { chunks: [], nextOffset: 0, totalBytes: 0, droppedBytes: 0 };
  }

  async countLines(): Promise<number | null> {
    return null;
  }

  async kill(commandId: string, signalName: string, cause: KillCause, signal: AbortSignal): Promise<Command> {
    throwIfCancelled(signal);
    const command = this.#find(commandId);
    this.#end(command, signalName === 'SIGKILL' ? 137 : 143, signalName, cause);
    return { ...command };
  }

  #find(commandId: string): Command {
    const command = this.#commands.get(commandId);
    if (command === undefined) throw unknownCommand(commandId);
    return command;
  }

  /** The first cause wins. */
  #end(command: Command, exitCode: number, signal: string | null, endedBy: EndedBy): void {
    if (command.status === 'finished') return;
    const durationMs = this.#now() - command.startedAt;
    Object.assign(command, { status: 'finished', exitCode, signal, endedBy, durationMs });
    this.#finished.dispatchEvent(new Event(command.commandId));
  }
}

async function noFile(): Promise<never> {
  throw new SandboxError('unsupported', 'The stand-in engine has no files.');
}

export const noFiles: Files = {
  mkDir: noFile,
  stat: noFile,
  read: noFile,
  write: noFile,
  writeTree: noFile,
  explore: noFile,
  readTree: () => ({ [Symbol.asyncIterator]: () => ({ next: noFile }) }),
};
