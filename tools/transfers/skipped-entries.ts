/** How many entries a result names; a tree may have any number of skipped ones. */
const MAX_NAMED = 5;
const MAX_SHOWN_CHARACTERS = 200;

/** The entries of a tree that are skipped: all are counted, the first ones named with the reason. */
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

  /** `path (reason)`, in the order of occurrence. */
  get first(): string[] {
    return [...this.#first];
  }
}

/** The end of a path is its most informative part. */
function abbreviated(path: string): string {
  if (path.length <= MAX_SHOWN_CHARACTERS) return path;
  return `…${path.slice(-MAX_SHOWN_CHARACTERS).replace(/^\p{Surrogate}/u, '')}`;
}
