type Outcome<T> = { value: T } | { error: unknown };

/**
 * Each item with what `work` answers for it, in their order, while the work on the next `most` items runs beside. A failure is
 * thrown in its item's turn. Nothing runs any more once the iteration is over.
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
