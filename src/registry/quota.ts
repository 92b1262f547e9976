import { SandboxError } from '../shared/errors.ts';

/** How many commands of one principal run, over all its sessions in this process. */
export class CommandQuota {
  readonly #max: number;
  #running = 0;

  constructor(max: number) {
    this.#max = max;
  }

  /**
   * Takes a place; the answered function gives it back, once.
   *
   * @throws SandboxError `limit_exceeded`
   */
  take(): () => void {
    if (this.#running >= this.#max) {
      throw new SandboxError(
        'limit_exceeded',
        `${this.#running} commands are running; at most ${this.#max} may at a time.`,
        {
          hint: 'Call command_wait for one to finish, or command_kill to end one; session_info lists them.',
          details: { limit: 'max_running_commands', max: this.#max, used: this.#running },
        },
      );
    }
    this.#running += 1;
    let given = false;
    return () => {
      if (given) return;
      given = true;
      this.#running -= 1;
    };
  }
}
