const MAX_SUGGESTIONS = 3;

/** The names closest to what was meant, at most so many `edits` away, best first; empty where none is near. */
export function closestNames(
  meant: string,
  names: readonly string[],
  edits = Number.POSITIVE_INFINITY,
): string[] {
  // A name of any length may come in; the distance to a longer one is of no interest.
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

/** Levenshtein's: single-character insertions, deletions and replacements. */
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
