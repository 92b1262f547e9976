import { SandboxError } from '../../shared/errors.ts';

/** What is counted, and the wording of the error. */
export interface QuotaSubject {
  /** The limit's name in answers, e.g. `max_shells`. */
  limit: string;
  /** What is over the limit, e.g. `shells are open`. */
  state: string;
  /** The next step, naming the tool to call. */
  hint: string;
}

export const RUNNING_COMMANDS: QuotaSubject = {
  limit: 'max_running_commands',
  state: 'commands are running',
  hint: 'Call command_wait to wait for one, or command_kill to end one; session_info lists them.',
};

export const OPEN_SHELLS: QuotaSubject = {
  limit: 'max_shells',
  state: 'shells are open',
  hint: 'Call shell_close for one that you no longer need; session_info lists them.',
};

/** Limits how many of one kind a principal has at a time, over all its sessions in this process. */
export class Quota {
  readonly #subject: QuotaSubject;
  readonly #max: number;
  #used = 0;

  constructor(subject: QuotaSubject, max: number) {
    this.#subject = subject;
    this.#max = max;
  }

  get used(): number {
    return this.#used;
  }

  /**
   * Takes a slot. The returned function releases it; further calls do nothing.
   *
   * @throws SandboxError `limit_exceeded`
   */
  take(): () => void {
    const { limit, state, hint } = this.#subject;
    if (this.#used >= this.#max) {
      throw new SandboxError('limit_exceeded', `${this.#used} ${state}; the limit is ${this.#max}.`, {
        hint,
        details: { limit, max: this.#max, used: this.#used },
      });
    }
    this.#used += 1;
    let given = false;
    return () => {
      if (given) return;
      given = true;
      this.#used -= 1;
    };
  }
}

/** The quotas of one principal. */
export interface Quotas {
  readonly commands: Quota;
  readonly shells: Quota;
}
