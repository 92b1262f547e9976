import { setMaxListeners } from 'node:events';
import { abortWith } from '../../shared/async/on-abort.ts';
import { SandboxError } from '../../shared/errors.ts';
import { SessionEnded } from '../../shared/session-ended.ts';

/** The work under way of one session: the session's end aborts it, and nothing starts after. */
export class TaskScope {
  readonly #closing = new AbortController();
  readonly #underWay = new Set<Promise<unknown>>();

  constructor() {
    // One listener a task is no leak.
    setMaxListeners(0, this.#closing.signal);
  }

  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  /** @throws SandboxError `conflict` once the session has ended */
  requireOpen(): void {
    if (this.closed) {
      throw new SandboxError('conflict', 'This session has ended.', {
        hint: 'Connect anew; sandboxes that were kept can be taken up again with sandbox_get.',
      });
    }
  }

  /** Runs a task whose signal fires with the caller's, and when the session ends. */
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

  /** Aborts what is under way; resolves when all of it has come to its end. */
  async close(): Promise<void> {
    this.#closing.abort(new SessionEnded());
    await Promise.allSettled(this.#underWay);
  }
}
