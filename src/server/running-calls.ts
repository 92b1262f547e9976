import { abortWith } from '../shared/async/on-abort.ts';

/** A call. `late` receives the work that continues after the call was answered. */
type Call<Result> = (signal: AbortSignal, late: (work: Promise<unknown>) => void) => Promise<Result>;

/** The running calls of one connection. The end of the conversation cancels and awaits them. */
export class RunningCalls {
  readonly #running = new Map<AbortController, Promise<unknown>>();
  #over: Error | null = null;

  /**
   * Runs a call with a signal that fires when the client cancels the call or the conversation ends; the
   * call can tell the two apart by the reason.
   */
  async run<Result>(cancelled: AbortSignal, call: Call<Result>): Promise<Result> {
    const { controller, release } = abortWith(cancelled);
    // A call that arrives after the end starts nothing.
    if (this.#over !== null) controller.abort(this.#over);
    let isLate = false;
    const running = call(controller.signal, (work) => {
      isLate = true;
      this.#running.set(
        controller,
        work.finally(() => this.#running.delete(controller)),
      );
    });
    if (!isLate) this.#running.set(controller, running);
    try {
      return await running;
    } finally {
      if (!isLate) this.#running.delete(controller);
      release();
    }
  }

  /** Cancels every call because the conversation is over, and resolves when all have finished. */
  async end(reason: Error): Promise<void> {
    this.#over = reason;
    for (const controller of this.#running.keys()) controller.abort(reason);
    await Promise.allSettled(this.#running.values());
  }
}
