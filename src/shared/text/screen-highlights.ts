/** What stands out on a terminal's screen by colour alone: menus tell their selection that way. */
import type { Terminal } from '@xterm/headless';

/** Adjacent cells of one row with the same background. Rows and columns count from 1. */
export interface Highlight {
  row: number;
  /** The first column. */
  col: number;
  /** The last column. */
  endCol: number;
  text: string;
}

type BufferLine = NonNullable<ReturnType<Terminal['buffer']['active']['getLine']>>;

interface Span {
  background: string;
  from: number;
  to: number;
}

const MAX_HIGHLIGHTS = 20;
/** A background of more rows than this is that of a window, unless it is inverse video. */
const MAX_ROWS = 2;
const DEFAULT_BACKGROUND = 'default';
const INVERSE = 'inverse';
/** Whatever a cell contains, a result holds no control character. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is dropped
const CONTROLS = /[\u0000-\u001f\u007f-\u009f]/g;

/** The first highlights of a screen with these lines. */
export function highlightsOf(lines: readonly BufferLine[], cols: number): Highlight[] {
  const backgrounds = lines.map((line) => backgroundsOf(line, cols));
  const heights = heightsOf(backgrounds, cols);
  const found = lines.flatMap((line, row) =>
    standingOut(spansOf(backgrounds[row] ?? []), heights[row] ?? [], cols).map(({ from, to }) => ({
      row: row + 1,
      col: from + 1,
      endCol: to,
      text: line.translateToString(false, from, to).replace(CONTROLS, '').trim(),
    })),
  );
  return found.filter(({ text }) => text !== '').slice(0, MAX_HIGHLIGHTS);
}

/** The spans of a row that are no window. In a bar over most of the row, only what differs from it. */
function standingOut(spans: readonly Span[], heights: readonly number[], cols: number): Span[] {
  const isLow = ({ from, to }: Span): boolean =>
    2 * heights.slice(from, to).filter((height) => height <= MAX_ROWS).length > to - from;
  const candidates = spans.filter(
    (span) => span.background !== DEFAULT_BACKGROUND && (isLow(span) || span.background.startsWith(INVERSE)),
  );
  const widths = new Map<string, number>();
  for (const { background, from, to } of candidates)
    widths.set(background, (widths.get(background) ?? 0) + to - from);
  const bar = widths.size > 1 ? [...widths].find(([, width]) => width > cols / 2)?.[0] : undefined;
  return candidates.filter(({ background }) => background !== bar);
}

function spansOf(backgrounds: readonly string[]): Span[] {
  const spans: Span[] = [];
  for (const [col, background] of backgrounds.entries()) {
    const last = spans.at(-1);
    if (last?.background === background) last.to = col + 1;
    else spans.push({ background, from: col, to: col + 1 });
  }
  return spans;
}

/** For each cell, over how many rows its background goes on above and below it. */
function heightsOf(backgrounds: readonly (readonly string[])[], cols: number): number[][] {
  const heights = backgrounds.map(() => new Array<number>(cols).fill(0));
  for (let col = 0; col < cols; col++) {
    for (let top = 0; top < backgrounds.length; ) {
      let end = top + 1;
      while (end < backgrounds.length && backgrounds[end]?.[col] === backgrounds[top]?.[col]) end++;
      for (const line of heights.slice(top, end)) line[col] = end - top;
      top = end;
    }
  }
  return heights;
}

/** Inverse video shows the text's colour as background. */
function backgroundsOf(line: BufferLine, cols: number): string[] {
  const reused = line.getCell(0);
  return Array.from({ length: cols }, (_, col) => {
    const cell = line.getCell(col, reused);
    if (cell === undefined) return DEFAULT_BACKGROUND;
    if (cell.isInverse() !== 0) return `${INVERSE} ${cell.getFgColorMode()} ${cell.getFgColor()}`;
    if (cell.isBgDefault()) return DEFAULT_BACKGROUND;
    return `${cell.getBgColorMode()} ${cell.getBgColor()}`;
  });
}
