/**
 * Timers for the ends of sessions that the engine below must not end itself, because it would delete their
 * files.
 */
export class Deadlines {
  readonly #timers = new Map<string, NodeJS.Timeout>();

  /** Calls `end` at this time, in epoch ms, instead of at an earlier given one. */
  set(sessionId: string, time: number, end: () => void): void {
    this.clear(sessionId);
    this.#timers.set(sessionId, setTimeout(end, time - Date.now()));
  }

  clear(sessionId: string): void {
    clearTimeout(this.#timers.get(sessionId));
    this.#timers.delete(sessionId);
  }

  clearAll(): void {
    for (const sessionId of [...this.#timers.keys()]) this.clear(sessionId);
  }
}
