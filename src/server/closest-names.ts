const MAX_SUGGESTIONS = 3;

/** The names closest to `name`, within `edits` edits, best first; empty if none is close. */
export function closestNames(
  meant: string,
  names: readonly string[],
  edits = Number.POSITIVE_INFINITY,
): string[] {
  // The input may have any length. A longer name is too far away anyway.
  const wanted = meant.slice(0, 64).toLowerCase();
  return names
    .map((name) => ({ name, score: score(wanted, name) }))
    .filter(({ name, score }) => score <= Math.min(edits, Math.max(2, Math.floor(name.length / 3))))
    .sort((a, b) => a.score - b.score)
    .slice(0, MAX_SUGGESTIONS)
    .map(({ name }) => name);
}

function score(wanted: string, name: string): number {
  if (wanted.length >= 3 && (name.includes(wanted) || wanted.includes(name))) return 0;
  return distance(wanted, name);
}

/** Levenshtein distance: single-character insertions, deletions and replacements. */
function distance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (previous[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      row.push(Math.min(replaced, (previous[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1));
    }
    previous = row;
  }
  return previous[b.length] ?? 0;
}
