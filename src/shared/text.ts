import stripAnsi from 'strip-ansi';

const ESCAPE = '\u001b';
/** Erase in line: from the cursor on (0) or all of it (2). */
const ERASE_LINE = new RegExp(`${ESCAPE}\\[[02]?K`, 'g');
const UNFINISHED_ESCAPE = new RegExp(`${ESCAPE}(?:[\\[(][0-9;:?]*|\\][^\\u0007${ESCAPE}]{0,256})?$`);
/** Marks an erased line until the escapes are stripped; `printable` lets no other one through. */
const ERASED = '\u0000';

/**
 * What a terminal would leave readable of a program's output: no colours or other escapes, of a line that is written
 * over with carriage returns the final state, backspaces applied, other control characters dropped. NUL is shown as ␀.
 */
export function terminalText(raw: string): string {
  if (!hasControls(raw)) return raw;
  return raw.replace(UNFINISHED_ESCAPE, '').split('\n').map(visibleLine).join('\n');
}

function hasControls(text: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  return /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/.test(text);
}

function visibleLine(raw: string): string {
  const marked = raw.replaceAll('\u0000', '␀').replace(ERASE_LINE, ERASED);
  let shown: string[] = [];
  // The carriage return of a line end moves the cursor without writing anything.
  for (const pass of marked.replace(/\r+$/, '').split('\r')) shown = writeOver(shown, stripAnsi(pass));
  return shown.join('');
}

/** Writes from the first column over what the line shows. */
function writeOver(shown: string[], pass: string): string[] {
  if (shown.length === 0 && !pass.includes('\b') && !pass.includes(ERASED)) return [...printable(pass)];
  const line = shown;
  let column = 0;
  for (const character of pass) {
    if (character === '\b') column = Math.max(0, column - 1);
    else if (character === ERASED) line.length = Math.min(line.length, column);
    else if (printable(character) !== '') line[column++] = character;
  }
  return line;
}

function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is dropped
  return text.replace(/[\u0000-\u0008\u000a-\u001f\u007f-\u009f]/g, '');
}

/** The last line of a text that shows anything, or null. */
export function lastVisibleLine(raw: string): string | null {
  const lines = terminalText(raw).split('\n');
  for (let index = lines.length - 1; index >= 0; index--) {
    const line = lines[index]?.trim();
    if (line) return line;
  }
  return null;
}

/** `1,234`, the same on every machine. */
export function formatCount(count: number): string {
  return count.toString().replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `1 line`, `2 lines`. */
export function plural(count: number, noun: string): string {
  return `${formatCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}
