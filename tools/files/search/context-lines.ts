import { isUtf8 } from 'node:buffer';
import type { SandboxFiles } from '../../../src/registry/types.ts';
import { mapConcurrent } from '../../../src/shared/async/map-concurrent.ts';
import { decodeUtf8 } from '../../../src/shared/text/utf8.ts';
import { type FileMatches, type Match, shownLine } from './search-page.ts';

/** Read before and after a match. */
const CONTEXT_BYTES = 4_096;
/** Matches that are closer are read together. */
const NEAR_BYTES = 16_384;
const MAX_READS = 8;
const NEWLINE = 0x0a;

/** A line of an answer; lines around a match are marked as context. */
export interface AnswerLine {
  line: number;
  text: string;
  context?: true;
}

/** The matches of a file, with `count` lines before and after each as far as they can be read. */
export async function withContext(
  files: Pick<SandboxFiles, 'read'>,
  root: string,
  { parts, matches }: FileMatches,
  count: number,
  signal: AbortSignal,
): Promise<AnswerLine[]> {
  const lines = new Map<number, AnswerLine>();
  const path = Buffer.from(`${root === '/' ? '' : root}/${parts.join('/')}`, 'latin1');
  if (count > 0 && isUtf8(path)) {
    await mapConcurrent(groupsOf(matches), MAX_READS, async (group) => {
      for (const line of await around(files, decodeUtf8(path), group, count, signal)) {
        lines.set(line.line, line);
      }
    });
  }
  for (const { line, text } of matches) lines.set(line, { line, text });
  return [...lines.values()].sort((a, b) => a.line - b.line);
}

function groupsOf(matches: readonly Match[]): Match[][] {
  const groups: Match[][] = [];
  for (const match of matches) {
    const group = groups.at(-1);
    const last = group?.at(-1);
    const isNear = last !== undefined && match.offset - last.offset < NEAR_BYTES;
    if (group !== undefined && isNear) group.push(match);
    else groups.push([match]);
  }
  return groups;
}

/** The lines before and after each match of a group. */
async function around(
  files: Pick<SandboxFiles, 'read'>,
  path: string,
  group: readonly Match[],
  count: number,
  signal: AbortSignal,
): Promise<AnswerLine[]> {
  const [first] = group;
  const last = group.at(-1);
  if (first === undefined || last === undefined) return [];
  const start = Math.max(0, first.offset - CONTEXT_BYTES);
  const limit = last.offset + last.length + CONTEXT_BYTES - start;
  const read = await files.read(path, null, { offset: start, limit }, signal);
  if (read === null) return [];
  const atEnd = start + read.data.length >= read.sizeBytes;
  const found = linesOf(read.data, start, first, atEnd);
  return found.filter(({ line }) => group.some((match) => Math.abs(match.line - line) <= count));
}

/** The complete lines of a part of a file, numbered from a match in it. */
function linesOf(data: Buffer, start: number, match: Match, atEnd: boolean): AnswerLine[] {
  const ends: number[] = [];
  for (let at = data.indexOf(NEWLINE); at !== -1; at = data.indexOf(NEWLINE, at + 1)) ends.push(at);
  const before = ends.filter((end) => start + end < match.offset).length;
  const lines: AnswerLine[] = [];
  let from = 0;
  for (const [index, end] of [...ends, data.length].entries()) {
    const isWhole = (index > 0 || start === 0) && (index < ends.length || (atEnd && from < end));
    const text = decodeUtf8(data.subarray(from, end)).replace(/\r$/, '');
    if (isWhole) lines.push({ line: match.line - before + index, text: shownLine(text), context: true });
    from = end + 1;
  }
  return lines;
}
