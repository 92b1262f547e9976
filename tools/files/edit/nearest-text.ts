/** Finds the place in a file that a text without an exact match probably refers to. */

/** Lines that occur more often than this in the file do not help to locate the text. */
const MAX_PLACES = 20;
const MAX_SHOWN_LINES = 12;
const MAX_SHOWN_CHARACTERS = 1_000;

/** The closest part of the file. */
export interface NearestText {
  /** Its first line, from 1. */
  line: number;
  /** Its lines as they are in the file; long ones are cut. */
  text: string;
  /** Whether it differs from the text only in whitespace. */
  blanksOnly: boolean;
}

/**
 * The place that has most lines in common with `wanted`, ignoring whitespace; null if it has none. Takes
 * linear time.
 */
export function nearestText(content: string, wanted: string): NearestText | null {
  const lines = content.split('\n');
  const wantedLines = wanted.split('\n').map(withoutBlanks);
  const places = placesOf(lines.map(withoutBlanks), new Set(wantedLines));
  const votes = new Map<number, number>();
  for (const [index, line] of wantedLines.entries()) {
    for (const at of places.get(line) ?? []) votes.set(at - index, (votes.get(at - index) ?? 0) + 1);
  }
  let best: { start: number; count: number } | null = null;
  for (const [start, count] of votes) {
    if (best === null || count > best.count || (count === best.count && start < best.start)) {
      best = { start, count };
    }
  }
  if (best === null) return similarLine(lines, wanted);
  const start = Math.max(0, best.start);
  const shown = lines.slice(start, best.start + Math.min(wantedLines.length, MAX_SHOWN_LINES)).join('\n');
  const same = lines.slice(start, best.start + wantedLines.length).map(withoutBlanks);
  return {
    line: start + 1,
    text: shown.slice(0, MAX_SHOWN_CHARACTERS),
    blanksOnly: same.join('\n') === wantedLines.join('\n'),
  };
}

/** The line that has most words in common with the text, if it has half of them. */
function similarLine(lines: readonly string[], wanted: string): NearestText | null {
  const words = new Set(wordsOf(wanted));
  let best: { line: number; count: number } | null = null;
  for (const [at, line] of lines.entries()) {
    const count = new Set(wordsOf(line).filter((word) => words.has(word))).size;
    if (count * 2 >= words.size && count > (best?.count ?? 0)) best = { line: at, count };
  }
  if (best === null) return null;
  const text = (lines[best.line] ?? '').slice(0, MAX_SHOWN_CHARACTERS);
  return { line: best.line + 1, text, blanksOnly: false };
}

function wordsOf(text: string): string[] {
  return text.split(/[^\p{L}\p{N}_]/u).filter((word) => word !== '');
}

function placesOf(lines: readonly string[], wanted: ReadonlySet<string>): Map<string, number[]> {
  const places = new Map<string, number[]>();
  for (const [at, line] of lines.entries()) {
    if (line === '' || !wanted.has(line)) continue;
    const known = places.get(line) ?? [];
    if (known.length < MAX_PLACES) known.push(at);
    places.set(line, known);
  }
  return places;
}

function withoutBlanks(line: string): string {
  return line.replace(/\s/g, '');
}
