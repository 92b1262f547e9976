import { describe, expect, it } from 'vitest';
import { lastVisibleLine, terminalText } from '../../../src/shared/text/terminal-text.ts';

const ESC = '\u001b';

describe('terminalText', () => {
  it.each([
    ['plain text as it is', 'one\n\ttwo  \n', 'one\n\ttwo  \n'],
    ['colours stripped', `${ESC}[1;31mred${ESC}[0m\n`, 'red\n'],
    ['a window title stripped', `${ESC}]0;title\u0007text`, 'text'],
    ['a hyperlink reduced to its text', `${ESC}]8;;http://a/\u0007link${ESC}]8;;\u0007`, 'link'],
    ['Windows line ends', 'a\r\nb\r\n', 'a\nb\n'],
    ['doubled carriage returns at a line end', 'a\r\r\nb', 'a\nb'],
    ['a progress bar as it was left', '10%\r50%\r100%\ndone', '100%\ndone'],
    ['a shorter pass over a longer one', 'downloading\rdone', 'doneloading'],
    ['a line erased before it is written again', `downloading\r${ESC}[Kdone`, 'done'],
    ['a whole line erased', `downloading\r${ESC}[2Kdone`, 'done'],
    ['a line erased and rewritten by column', `10%${ESC}[2K${ESC}[1G20%${ESC}[2K${ESC}[G30%\n`, '30%\n'],
    ['a cursor moved left over the line', `50 %${ESC}[4D100${ESC}[1000Ddone\n`, 'done\n'],
    ['a row of bars redrawn from below', `a 1%\nb 1%\n${ESC}[2Aa 9%\n${ESC}[2Kb 9%\nend`, 'a 9%\nb 9%\nend'],
    ['bars that are redrawn one by one', `a\nb\nc\n${ESC}[3A${ESC}[2K\rA${ESC}[3B\rend`, 'A\nb\nc\nend'],
    [
      'rows erased upwards, less written over them',
      `1\n2\n3${ESC}[2K${ESC}[1A${ESC}[2K${ESC}[1A${ESC}[2K${ESC}[Gok\n`,
      'ok\n',
    ],
    ['everything below erased', `keep\n1\n2\n${ESC}[2F${ESC}[0Jok\n`, 'keep\nok\n'],
    ['the content of a screen before it was cleared', `first\n${ESC}[H${ESC}[2Jsecond\n`, 'first\nsecond\n'],
    ['columns', `name${ESC}[10Gsize${ESC}[2Cdate\n`, 'name     size  date\n'],
    ['rows above the first and below the last', `a${ESC}[9A\rb${ESC}[9B\rc`, 'c'],
    ['backspaces', 'spin |\b/\b-', 'spin -'],
    ['backspaces past the first column', '\b\bab', 'ab'],
    ['bells and other controls dropped', 'a\u0007b\u0001c\u0085d', 'abcd'],
    ['NUL shown', 'a\u0000b', 'a␀b'],
    ['a truncated escape at the end', `text${ESC}[3`, 'text'],
    ['characters outside the basic plane', '😀😀\r😃', '😃😀'],
  ])('%s', (_name, raw, shown) => {
    expect(terminalText(raw)).toBe(shown);
  });

  it('takes linear time for hostile escapes', () => {
    for (const evil of [`${ESC}]`, `${ESC}[`, `${ESC}[1;`, '\r', '\b', `a\r${ESC}[K`]) {
      expect(terminalText(evil.repeat(20_000)).length).toBeLessThanOrEqual(60_000);
    }
    for (const evil of [
      `${ESC}[999999999Gx\n`,
      `${ESC}[999999999C`,
      `x${ESC}[9A`,
      `\n${ESC}[J`,
      `x${ESC}[2K`,
    ]) {
      const raw = `${evil.repeat(20_000)}x`;
      expect(terminalText(raw).length).toBeLessThanOrEqual(2 * raw.length);
    }
  });
});

describe('lastVisibleLine', () => {
  it('skips invisible lines', () => {
    expect(lastVisibleLine(`first\n ${ESC}[0m \n\n`)).toBe('first');
    expect(lastVisibleLine('10%\r20%')).toBe('20%');
    expect(lastVisibleLine('\n\n')).toBeNull();
  });
});
