import { setMaxListeners } from 'node:events';
import { abortWith } from '../../shared/async/on-abort.ts';
import { SandboxError } from '../../shared/errors.ts';
import { SessionEnded } from '../../shared/session-ended.ts';

/** The running tasks of one session: the session's end aborts them, and none starts afterwards. */
export class TaskScope {
  readonly #closing = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();

  constructor() {
    // One listener per task is not a leak.
    setMaxListeners(0, this.#closing.signal);
  }

  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** @throws SandboxError `conflict` once the session has ended */
  requireOpen(): void {
    if (this.closed) {
      throw new SandboxError('conflict', 'This session has ended.', {
        hint: 'Reconnect; call sandbox_get to attach to sandboxes that were created with keep.',
      });
    }
  }

  /** Runs a task with a signal that aborts with the caller's and when the session ends. */
  async run<T>(signal: AbortSignal, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.requireOpen();
    // Unlike AbortSignal.any it stops listening: the session's signal outlives thousands of tasks.
    const either = abortWith(signal, this.#closing.signal);
    const work = task(either.controller.signal);
    this.#underWay.add(work);
    try {
      return await work;
    } finally {
      this.#underWay.delete(work);
      either.release();
    }
  }

  /** Aborts the running tasks; resolves when all have ended. */
  async close(reason: SessionEnded = new SessionEnded()): Promise<void> {
    this.#closing.abort(reason);
    await Promise.allSettled(this.#underWay);
  }
}
