/**
 * The number from which every random choice of a test starts. One for the whole run:
 * `SEED=… npx vitest run …` repeats it, and the summary of a run with failures says which it was.
 */
export const SEED = seedOf(process.env['SEED']);

function seedOf(text: string | undefined): number {
  const seed = Number(text);
  if (text === undefined || !Number.isSafeInteger(seed)) {
    throw new Error(
      `SEED is ${text}; it has to be a whole number, and vitest.config.ts chooses one where none is given`,
    );
  }
  return seed;
}

/** Uniform in [0, 1), the same numbers for the same seed: the generator mulberry32. */
export function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
