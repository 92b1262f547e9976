export { generator } from './generator.ts';

/**
 * The number from which every random choice of a test starts. One for the whole run:
 * `SEED=… npx vitest run …` repeats it, and the summary of a run with failures says which it was.
 */
export const SEED = seedOf(process.env['SEED']);

function seedOf(text: string | undefined): number {
  const seed = Number(text);
  if (text === undefined || !Number.isSafeInteger(seed)) {
    throw new Error(`SEED is ${text}; it must be a whole number (vitest.config.ts chooses one by default)`);
  }
  return seed;
}
