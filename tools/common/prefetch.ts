type Outcome<T> = { value: T } | { error: unknown };

/**
 * Yields each item with the result of `work` for it, in order, while the work on the next `most` items runs
 * concurrently. A failure is thrown when its item's turn comes. When the iteration has ended, no work is left
 * running.
 */
export async function* prefetch<Item, T>(
  items: Iterable<Item>,
  work: (item: Item) => Promise<T>,
  most: number,
): AsyncGenerator<[item: Item, result: T]> {
  const begun: { item: Item; outcome: Promise<Outcome<T>> }[] = [];
  const source = items[Symbol.iterator]();
  try {
    for (;;) {
      while (begun.length < most) {
        const next = source.next();
        if (next.done) break;
        const outcome = work(next.value).then(
          (value) => ({ value }),
          (error: unknown) => ({ error }),
        );
        begun.push({ item: next.value, outcome });
      }
      const first = begun.shift();
      if (first === undefined) return;
      const outcome = await first.outcome;
      if ('error' in outcome) throw outcome.error;
      yield [first.item, outcome.value];
    }
  } finally {
    await Promise.all(begun.map(({ outcome }) => outcome));
  }
}
