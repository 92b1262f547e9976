/** Exact replacement in a file's bytes, with a record of what has changed where. */

/** Bytes `[from, to)` of the original that have become bytes `[newFrom, newTo)` of the edited content. */
export interface Change {
  from: number;
  to: number;
  newFrom: number;
  newTo: number;
}

/** Content with the changes since the original, in order and without overlaps. */
export interface Edited {
  content: Buffer;
  changes: readonly Change[];
}

/**
 * Where `needle` occurs in `content`, without overlaps, at most `limit` positions. Takes linear time (Knuth,
 * Morris and Pratt), which `Buffer.indexOf` does not for repetitive text.
 */
export function occurrences(content: Buffer, needle: Buffer, limit = Number.POSITIVE_INFINITY): number[] {
  const found: number[] = [];
  const first = needle[0];
  if (first === undefined) return found;
  const fallback = prefixLengths(needle);
  let matched = 0;
  for (let at = 0; at < content.length; at++) {
    if (matched === 0 && content[at] !== first) {
      const next = content.indexOf(first, at);
      if (next === -1) break;
      at = next;
    }
    while (matched > 0 && content[at] !== needle[matched]) matched = fallback[matched - 1] ?? 0;
    if (content[at] === needle[matched]) matched++;
    if (matched < needle.length) continue;
    found.push(at + 1 - needle.length);
    if (found.length >= limit) break;
    matched = 0;
  }
  return found;
}

/** For each prefix of `needle`, the length of the longest shorter prefix that it ends with. */
function prefixLengths(needle: Buffer): Uint32Array {
  const lengths = new Uint32Array(needle.length);
  let matched = 0;
  for (let at = 1; at < needle.length; at++) {
    while (matched > 0 && needle[at] !== needle[matched]) matched = lengths[matched - 1] ?? 0;
    if (needle[at] === needle[matched]) matched++;
    lengths[at] = matched;
  }
  return lengths;
}

/** Bytes `[from, to)` of a content, and what takes their place. */
export interface Replacement {
  from: number;
  to: number;
  newText: Buffer;
}

/** How long `content` is after these replacements, which need no memory yet. */
export function lengthAfter(content: Buffer, replacements: readonly Replacement[]): number {
  return replacements.reduce(
    (length, { from, to, newText }) => length + newText.length - (to - from),
    content.length,
  );
}

/** Makes replacements, which are in order and do not overlap. */
export function replaceAt({ content, changes }: Edited, replacements: readonly Replacement[]): Edited {
  const parts: Buffer[] = [];
  const made: Change[] = [];
  let end = 0;
  let grown = 0;
  for (const { from, to, newText } of replacements) {
    parts.push(content.subarray(end, from), newText);
    made.push({ from, to, newFrom: from + grown, newTo: from + grown + newText.length });
    grown += newText.length - (to - from);
    end = to;
  }
  parts.push(content.subarray(end));
  return { content: Buffer.concat(parts), changes: compose(changes, made) };
}

/** The changes of two steps as those of one: `second` counts its `from` and `to` in what `first` has made. */
function compose(first: readonly Change[], second: readonly Change[]): Change[] {
  const composed: Change[] = [];
  let left = 0;
  let right = 0;
  /**
   * How much longer than the original the content is up to here: after the first step, and after the second.
   */
  let grown = 0;
  let grownAgain = 0;
  while (left < first.length || right < second.length) {
    let from = Math.min(
      first[left]?.newFrom ?? Number.POSITIVE_INFINITY,
      second[right]?.from ?? Number.POSITIVE_INFINITY,
    );
    const begin = { original: from - grown, edited: from + grownAgain };
    // Everything that overlaps or touches becomes one change.
    for (let to = from; ; ) {
      const before = first[left];
      const after = second[right];
      if (before !== undefined && before.newFrom <= to) {
        to = Math.max(to, before.newTo);
        grown += before.newTo - before.newFrom - (before.to - before.from);
        left++;
      } else if (after !== undefined && after.from <= to) {
        to = Math.max(to, after.to);
        grownAgain += after.newTo - after.newFrom - (after.to - after.from);
        right++;
      } else {
        from = to;
        break;
      }
    }
    composed.push({
      from: begin.original,
      to: from - grown,
      newFrom: begin.edited,
      newTo: from + grownAgain,
    });
  }
  return composed;
}
