import type { Command, Engine, KillCause } from '../../engines/engine.ts';
import { unknownCommand } from '../../shared/id-errors.ts';
import { sandboxIdOfCommand } from '../../shared/ids.ts';
import type { CommandHandle } from '../types.ts';

/** The sandbox that a command id names. @throws SandboxError `not_found` for a text that is no command id */
export function requireSandboxOf(commandId: string): string {
  const sandboxId = sandboxIdOfCommand(commandId);
  if (sandboxId === null) throw unknownCommand(commandId);
  return sandboxId;
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
