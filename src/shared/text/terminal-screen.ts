/** What a terminal would show of a program's output, from a headless terminal emulator. */
import * as unicode11 from '@xterm/addon-unicode11';
import * as headless from '@xterm/headless';
import { type Highlight, highlightsOf } from './screen-highlights.ts';

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

  #highlights(): Highlight[] {
    const { buffer, cols, rows } = this.#terminal;
    const { active } = buffer;
    const lines = Array.from({ length: rows }, (_, row) => active.getLine(active.baseY + row));
    return highlightsOf(
      lines.filter((line) => line !== undefined),
      cols,
    );
  }

  dispose(): void {
    this.#terminal.dispose();
  }
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
