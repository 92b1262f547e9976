/** An answer names so many; a tree may leave out any number. */
const MAX_NAMED = 5;
const MAX_SHOWN_CHARACTERS = 200;

/** What of a tree is not carried over: counted, and the first of it named with the reason. */
export class SkippedEntries {
  readonly #first: string[] = [];
  #count = 0;

  add(path: string, reason: string): void {
    this.#count += 1;
    if (this.#first.length < MAX_NAMED) this.#first.push(`${abbreviated(path)} (${reason})`);
  }

  get count(): number {
    return this.#count;
  }

  /** `path (reason)`, in the order in which they were met. */
  get first(): string[] {
    return [...this.#first];
  }
}

/** The end of a path says most about it. */
function abbreviated(path: string): string {
  if (path.length <= MAX_SHOWN_CHARACTERS) return path;
  return `…${path.slice(-MAX_SHOWN_CHARACTERS).replace(/^\p{Surrogate}/u, '')}`;
}
