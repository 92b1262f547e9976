/** Counting words: the part that knows nothing of files, screens and servers. */

/** Letters of any script, with apostrophes and hyphens inside a word. */
const WORD = /\p{L}+(?:['’-]\p{L}+)*/gu;

/**
 * The words of a text in lower case, in their order.
 *
 * @param {string} text
 * @returns {string[]}
 */
export function words(text) {
  return (text.normalize('NFC').match(WORD) ?? []).map((word) => word.toLowerCase().replaceAll('’', "'"));
}

/**
 * How often each word occurs.
 *
 * @param {string} text
 * @returns {Map<string, number>}
 */
export function countWords(text) {
  const counts = new Map();
  for (const word of words(text)) counts.set(word, (counts.get(word) ?? 0) + 1);
  return counts;
}

/**
 * The most frequent words, the more frequent first; those that are equally frequent in alphabetical order.
 *
 * @param {Map<string, number>} counts
 * @param {number} limit at most so many
 * @returns {[string, number][]}
 */
export function topWords(counts, limit) {
  return [...counts].sort(([a, m], [b, n]) => n - m || (a < b ? -1 : 1)).slice(0, limit);
}

/**
 * The figures of a text.
 *
 * @param {string} text
 * @returns {{ words: number, different: number, sentences: number, longest: string | null }}
 */
export function summary(text) {
  const all = words(text);
  const longest = all.reduce((best, word) => (word.length > (best?.length ?? 0) ? word : best), null);
  return {
    words: all.length,
    different: new Set(all).size,
    sentences: (text.match(/[.!?…]+(?=\s|$)/gu) ?? []).length,
    longest,
  };
}
