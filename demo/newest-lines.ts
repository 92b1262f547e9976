/**
 * Shows the lines of a running program from its progress, completed with the end of its output once that is
 * known.
 */
export class NewestLines {
  readonly #show: (line: string) => void;
  #held: string | null = null;
  #last: string | null = null;

  constructor(show: (line: string) => void) {
    this.#show = show;
  }

  /** One line is held back: if a program ends at once, the end of its output shows that line instead. */
  add(line: string): void {
    if (this.#held !== null) {
      this.#show(this.#held);
      this.#last = this.#held;
    }
    this.#held = line;
  }

  /** Shows the last lines of the whole output, from where progress stopped. */
  end(tail: readonly string[]): void {
    const last = this.#last;
    const seen = last === null ? -1 : tail.findLastIndex((line) => line.trim() === last.trim());
    for (const line of tail.slice(seen + 1)) this.#show(line);
  }
}
