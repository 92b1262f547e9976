/**
 * Renders a recording as an animated SVG: each line of the screen appears when it did; without animation the
 * last screen is shown.
 */
import xterm, { type IBufferCell, type Terminal } from '@xterm/headless';
import type { Recording } from './asciicast.ts';

const CELL_WIDTH = 8;
const LINE_HEIGHT = 18;
const PADDING = 14;
/** Seconds: pieces closer together than this are merged. */
const FRAME_S = 0.05;
const BACKGROUND = '#0d1117';
const FOREGROUND = '#c9d1d9';
const BOLD = '#f0f6fc';
/** The sixteen colours of a terminal, by number. */
// biome-ignore format: two rows of eight
const PALETTE = [
  '#484f58', '#ff7b72', '#3fb950', '#d29922', '#58a6ff', '#bc8cff', '#39c5cf', '#b1bac4',
  '#8b949e', '#ffa198', '#56d364', '#e3b341', '#79c0ff', '#d2a8ff', '#56d4dd', '#ffffff',
] as const;

/**
 * What a row of the screen showed and when, in seconds of playback; `until` is null if it stayed to the end.
 */
interface Appearance {
  readonly row: number;
  readonly markup: string;
  readonly from: number;
  readonly until: number | null;
}

export async function renderSvg(recording: Recording): Promise<string> {
  const appearances = await play(recording);
  const rows = Math.max(1, ...appearances.map(({ row }) => row + 1));
  const width = recording.width * CELL_WIDTH + 2 * PADDING;
  const height = rows * LINE_HEIGHT + 2 * PADDING;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">`,
    `<title>${escapeXml(recording.title)}</title>`,
    '<style>',
    `text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:${FOREGROUND};white-space:pre}`,
    '@keyframes show{from{visibility:hidden}to{visibility:visible}}',
    '@keyframes hide{from{visibility:visible}to{visibility:hidden}}',
    '@media (prefers-reduced-motion:reduce){text{animation:none!important}}',
    '</style>',
    `<rect width="100%" height="100%" rx="8" fill="${BACKGROUND}"/>`,
    ...appearances.map(element),
    '</svg>\n',
  ].join('\n');
}

function element({ row, markup, from, until }: Appearance): string {
  const y = PADDING + row * LINE_HEIGHT + 13;
  const animations = [
    ...(from > 0 ? [`show 1ms ${from.toFixed(2)}s both`] : []),
    ...(until === null ? [] : [`hide 1ms ${until.toFixed(2)}s forwards`]),
  ];
  const style = animations.length === 0 ? '' : ` style="animation:${animations.join(',')}"`;
  const hidden = until === null ? '' : ' visibility="hidden"';
  return `<text x="${PADDING}" y="${y}"${hidden}${style} xml:space="preserve">${markup}</text>`;
}

async function play({ width, height, idleLimit, events }: Recording): Promise<Appearance[]> {
  const terminal = new xterm.Terminal({ cols: width, rows: height, scrollback: 0, allowProposedApi: true });
  const done: Appearance[] = [];
  const shown = new Map<number, { markup: string; from: number }>();
  let played = 0;
  let recorded = events[0]?.time ?? 0;
  for (const [index, { time, data }] of events.entries()) {
    played += Math.min(time - recorded, idleLimit);
    recorded = time;
    await new Promise<void>((resolve) => terminal.write(data, resolve));
    const next = events[index + 1];
    if (next !== undefined && next.time - time < FRAME_S) continue;
    for (let row = 0; row < height; row++) {
      const markup = markupOf(terminal, row);
      const before = shown.get(row);
      if (markup === (before?.markup ?? '')) continue;
      if (before !== undefined) done.push({ row, ...before, until: played });
      shown.delete(row);
      if (markup !== '') shown.set(row, { markup, from: played });
    }
  }
  terminal.dispose();
  const stayed = [...shown].map(([row, { markup, from }]) => ({ row, markup, from, until: null }));
  return [...done, ...stayed];
}

/** One row of the screen as the content of a `text` element; empty for an empty row. */
function markupOf(terminal: Terminal, row: number): string {
  const line = terminal.buffer.active.getLine(row);
  const runs: { text: string; fill: string | null }[] = [];
  for (let column = 0; line !== undefined && column < line.length; column++) {
    const cell = line.getCell(column);
    if (cell === undefined || cell.getWidth() === 0) continue;
    const fill = fillOf(cell);
    const last = runs.at(-1);
    const text = cell.getChars() || ' ';
    if (last !== undefined && (last.fill === fill || text === ' ')) last.text += text;
    else runs.push({ text, fill });
  }
  const last = runs.at(-1);
  if (last !== undefined) last.text = last.text.trimEnd();
  return runs
    .filter(({ text }) => text !== '')
    .map(({ text, fill }) =>
      fill === null ? escapeXml(text) : `<tspan fill="${fill}">${escapeXml(text)}</tspan>`,
    )
    .join('');
}

function fillOf(cell: IBufferCell): string | null {
  if (cell.isFgPalette()) return PALETTE[cell.getFgColor()] ?? null;
  return cell.isBold() ? BOLD : null;
}

function escapeXml(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}
