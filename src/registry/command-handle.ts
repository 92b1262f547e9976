import type { Command, Engine, KillCause } from '../engines/engine.ts';
import { SandboxError } from '../shared/errors.ts';
import { sandboxIdOfCommand } from '../shared/ids.ts';
import type { CommandHandle } from './contract.ts';

/** The sandbox that a command id names. @throws SandboxError `not_found` for a text that is no command id */
export function requireSandboxOf(commandId: string): string {
  const sandboxId = sandboxIdOfCommand(commandId);
  if (sandboxId === null) throw commandNotFound(commandId);
  return sandboxId;
}

export function commandNotFound(commandId: string): SandboxError {
  return new SandboxError('not_found', `There is no command ${JSON.stringify(commandId.slice(0, 80))}.`, {
    hint: 'Call session_info for the running commands, or start one with sandbox_run_command.',
    details: { command_id: commandId.slice(0, 80) },
  });
}

/** A command whose sandbox the session may see; whether the command exists is the engine's to say. */
export class RegistryCommandHandle implements CommandHandle {
  readonly commandId: string;
  readonly sandboxId: string;
  readonly engine: Engine;

  constructor(commandId: string, sandboxId: string, engine: Engine) {
    this.commandId = commandId;
    this.sandboxId = sandboxId;
    this.engine = engine;
  }

  get(signal: AbortSignal): Promise<Command> {
    return this.engine.commands.get(this.commandId, signal);
  }

  kill(signalName: string, cause: KillCause, signal: AbortSignal): Promise<Command> {
    return this.engine.commands.kill(this.commandId, signalName, cause, signal);
  }
}
