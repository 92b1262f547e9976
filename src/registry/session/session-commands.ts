import { setMaxListeners } from 'node:events';
import type { Command, Sandbox } from '../../engines/engine.ts';
import { onAbort } from '../../shared/async/on-abort.ts';
import { SandboxError } from '../../shared/errors.ts';
import type { RegistryContext } from '../context.ts';
import type { Leases } from '../sandboxes/keep-alive.ts';
import type { Quota } from '../sandboxes/quota.ts';
import { hasEnded } from '../sandboxes/sandbox-end.ts';

const RETRY_MS = 1_000;

interface RunningCommand {
  readonly commandId: string;
  readonly sandboxId: string;
  /** How many callers wait for the command to finish. */
  waiters: number;
}

/** The running commands that one session started. */
export class SessionCommands {
  readonly #context: RegistryContext;
  readonly #quota: Quota;
  readonly #leases: Leases;
  readonly #running = new Map<string, RunningCommand>();
  readonly #watching = new AbortController();

  constructor(context: RegistryContext, quota: Quota, leases: Leases) {
    this.#context = context;
    this.#quota = quota;
    this.#leases = leases;
    // One listener per running command is not a leak.
    setMaxListeners(0, this.#watching.signal);
  }

  /**
   * Starts a command, counts it against the quota, and holds the sandbox's lease until it has finished.
   *
   * @throws SandboxError `limit_exceeded`, or what `start` throws
   */
  async start(sandbox: Sandbox, start: () => Promise<Command>): Promise<Command> {
    const giveBack = this.#quota.take();
    try {
      const command = await start();
      void this.#watch(command, this.#leases.hold(sandbox), giveBack);
      return command;
    } catch (error) {
      giveBack();
      throw error;
    }
  }

  /** Watches a command that the session started on another replica. It counts, but is not refused. */
  resume(sandbox: Sandbox, command: Command): void {
    let giveBack = (): void => {};
    try {
      giveBack = this.#quota.take();
    } catch {
      // The commands of several replicas may exceed the quota of one.
    }
    void this.#watch(command, this.#leases.hold(sandbox), giveBack);
  }

  /** Ids of the running commands, newest first. */
  ids(): string[] {
    return [...this.#running.keys()].reverse();
  }

  /**
   * Marks a command as awaited until the returned function is called. Does nothing for commands of other
   * sessions.
   */
  addWaiter(commandId: string): () => void {
    const command = this.#running.get(commandId);
    if (command === undefined) return () => {};
    command.waiters += 1;
    let left = false;
    return () => {
      if (left) return;
      left = true;
      command.waiters -= 1;
    };
  }

  /** The commands that have a waiting caller, with their sandboxes. */
  awaited(): { commandId: string; sandboxId: string }[] {
    return [...this.#running.values()].filter((command) => command.waiters > 0);
  }

  /** Stops watching. The commands keep running. */
  close(): void {
    this.#watching.abort();
  }

  /** Never rejects. */
  async #watch(command: Command, endLease: () => void, giveBack: () => void): Promise<void> {
    const { commandId, sandboxId } = command;
    this.#running.set(commandId, { commandId, sandboxId, waiters: 0 });
    try {
      while (!(await this.#isOver(command))) await this.#pause();
    } finally {
      this.#running.delete(commandId);
      endLease();
      giveBack();
    }
  }

  /** Waits for the command to finish. False if waiting failed and the command may still run. */
  async #isOver(command: Command): Promise<boolean> {
    const signal = this.#watching.signal;
    try {
      await this.#context.engine.commands.wait(command.commandId, signal);
      return true;
    } catch (error) {
      if (signal.aborted || isNotFound(error)) return true;
      this.#context.log.warn({ command_id: command.commandId, err: error }, 'Waiting for a command failed.');
    }
    try {
      return hasEnded(await this.#context.engine.get(command.sandboxId, signal));
    } catch (error) {
      return signal.aborted || isNotFound(error);
    }
  }

  async #pause(): Promise<void> {
    const signal = this.#watching.signal;
    const { clock } = this.#context;
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const timer = clock.setTimeout(done, RETRY_MS);
      const release = onAbort(signal, done);
      function done(): void {
        clock.clearTimeout(timer);
        release();
        resolve();
      }
    });
  }
}

/** A sandbox or command that has ended and been forgotten leaves nothing to wait for. */
function isNotFound(error: unknown): boolean {
  return error instanceof SandboxError && (error.code === 'not_found' || error.code === 'conflict');
}
