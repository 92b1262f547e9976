/** What a terminal would show of a program's output, from a headless terminal emulator. */
import * as unicode11 from '@xterm/addon-unicode11';
import * as headless from '@xterm/headless';

/** The current content of the screen. */
export interface ScreenView {
  /** One row per line, without trailing blanks; trailing blank rows are omitted. */
  text: string;
  /** Counted from 1, as terminals do; the column may be one past the last when a line is full. */
  cursor: { row: number; col: number };
  cols: number;
  rows: number;
  /** True while a full-screen program uses the alternate screen. */
  alternateScreen: boolean;
  /** What stands out by inverse video or a background colour, such as a menu's selection; the first of it. */
  highlights: Highlight[];
}

/** Adjacent cells of one row with the same background. Rows and columns count from 1. */
export interface Highlight {
  row: number;
  /** The first column. */
  col: number;
  /** The last column. */
  endCol: number;
  text: string;
}

const MAX_HIGHLIGHTS = 20;

/**
 * Each link keeps an entry as long as its line exists: a program could fill this process's memory with them.
 */
const OSC_LINK = 8;
/** Whatever a cell contains, a result holds no control character. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is dropped
const CONTROLS = /[\u0000-\u001f\u007f-\u009f]/g;

const { Terminal } = exportsOf(headless);
const { Unicode11Addon } = addonOf(unicode11);
type Emulator = InstanceType<typeof Terminal>;

export class TerminalScreen {
  readonly #terminal: Emulator;

  /**
   * `answer` receives the replies of the terminal to queries of the program (cursor position, terminal type).
   */
  constructor(cols: number, rows: number, answer: (text: string) => void) {
    this.#terminal = new Terminal({ cols, rows, scrollback: 0, allowProposedApi: true, logLevel: 'off' });
    // Widths as the programs inside count them; the emulator's own are those of Unicode 6.
    this.#terminal.loadAddon(new Unicode11Addon());
    this.#terminal.unicode.activeVersion = '11';
    this.#terminal.onData(answer);
    this.#terminal.parser.registerOscHandler(OSC_LINK, () => true);
  }

  /** True while arrow keys are to be sent in application mode (DECCKM of the VT100). */
  get applicationCursor(): boolean {
    return this.#terminal.modes.applicationCursorKeysMode;
  }

  get rows(): number {
    return this.#terminal.rows;
  }

  /** Resolves once the screen reflects the data. */
  write(text: string): Promise<void> {
    return new Promise((resolve) => this.#terminal.write(text, resolve));
  }

  resize(cols: number, rows: number): void {
    this.#terminal.resize(cols, rows);
  }

  /** True if no row has text. */
  get isBlank(): boolean {
    const { active } = this.#terminal.buffer;
    for (let row = 0; row < this.#terminal.rows; row++) {
      const text = active.getLine(active.baseY + row)?.translateToString(true) ?? '';
      if (text.trim() !== '') return false;
    }
    return true;
  }

  view(): ScreenView {
    const { buffer, cols, rows } = this.#terminal;
    const { active } = buffer;
    const lines: string[] = [];
    for (let row = 0; row < rows; row++) {
      lines.push(active.getLine(active.baseY + row)?.translateToString(true) ?? '');
    }
    return {
      text: lines
        .map((line) => line.replace(CONTROLS, '').trimEnd())
        .join('\n')
        .trimEnd(),
      // After the last cell of a full line the emulator's cursor is past it; a terminal shows it on that cell
      // until the next character.
      cursor: { row: active.cursorY + 1, col: Math.min(active.cursorX + 1, cols) },
      cols,
      rows,
      alternateScreen: active.type === 'alternate',
      highlights: this.#highlights(),
    };
  }

  /**
   * Most of a screen can have a background, such as a dialog's: the most common one of a row counts as plain
   * if it covers more than half of the row.
   */
  #highlights(): Highlight[] {
    const { buffer, cols, rows } = this.#terminal;
    const found: Highlight[] = [];
    for (let row = 0; row < rows; row++) {
      const line = buffer.active.getLine(buffer.active.baseY + row);
      if (line === undefined) continue;
      for (const span of highlightsOf(line, cols)) {
        if (found.length === MAX_HIGHLIGHTS) return found;
        found.push({ row: row + 1, ...span });
      }
    }
    return found;
  }

  dispose(): void {
    this.#terminal.dispose();
  }
}

type BufferLine = NonNullable<ReturnType<Emulator['buffer']['active']['getLine']>>;

function highlightsOf(line: BufferLine, cols: number): Omit<Highlight, 'row'>[] {
  const spans: { background: string; from: number; to: number }[] = [];
  const widths = new Map<string, number>();
  const cell = line.getCell(0);
  for (let col = 0; col < cols; col++) {
    const background = backgroundAt(line, col, cell);
    widths.set(background, (widths.get(background) ?? 0) + 1);
    const last = spans.at(-1);
    if (last?.background === background) last.to = col + 1;
    else spans.push({ background, from: col, to: col + 1 });
  }
  const plain = [...widths].find(([, width]) => width > cols / 2)?.[0] ?? DEFAULT_BACKGROUND;
  // A bar over the whole row stands out itself.
  const isBar = widths.size === 1 && plain !== DEFAULT_BACKGROUND;
  return spans
    .filter(({ background }) => isBar || (background !== plain && background !== DEFAULT_BACKGROUND))
    .map(({ from, to }) => ({
      col: from + 1,
      endCol: to,
      text: line.translateToString(false, from, to).replace(CONTROLS, '').trim(),
    }))
    .filter(({ text }) => text !== '');
}

const DEFAULT_BACKGROUND = 'default';

/** Inverse video shows the text's colour as background. */
function backgroundAt(line: BufferLine, col: number, reused: ReturnType<BufferLine['getCell']>): string {
  const cell = line.getCell(col, reused);
  if (cell === undefined) return DEFAULT_BACKGROUND;
  if (cell.isInverse() !== 0) return `inverse ${cell.getFgColorMode()} ${cell.getFgColor()}`;
  if (cell.isBgDefault()) return DEFAULT_BACKGROUND;
  return `${cell.getBgColorMode()} ${cell.getBgColor()}`;
}

/** The same for the addon. */
function addonOf(module: typeof unicode11): typeof unicode11 {
  const inner: unknown = 'default' in module ? module.default : null;
  return isAddon(inner) ? inner : module;
}

function isAddon(value: unknown): value is typeof unicode11 {
  return typeof value === 'object' && value !== null && 'Unicode11Addon' in value;
}

/** A CommonJS module: its exports are under `default` in Node, and at the top level in a bundle. */
function exportsOf(module: typeof headless): typeof headless {
  const inner: unknown = 'default' in module ? module.default : null;
  return isHeadless(inner) ? inner : module;
}

function isHeadless(value: unknown): value is typeof headless {
  return typeof value === 'object' && value !== null && 'Terminal' in value;
}
