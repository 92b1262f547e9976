import { describe, expect, it } from 'vitest';
import { formatCount, lastVisibleLine, plural, terminalText } from '../../src/shared/text.ts';

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
    ['backspaces', 'spin |\b/\b-', 'spin -'],
    ['backspaces past the first column', '\b\bab', 'ab'],
    ['bells and other controls dropped', 'a\u0007b\u0001c\u0085d', 'abcd'],
    ['NUL shown', 'a\u0000b', 'a␀b'],
    ['an escape cut at the end', `text${ESC}[3`, 'text'],
    ['characters outside the basic plane', '😀😀\r😃', '😃😀'],
  ])('%s', (_name, raw, shown) => {
    expect(terminalText(raw)).toBe(shown);
  });

  it('takes linear time for hostile escapes', () => {
    for (const evil of [`${ESC}]`, `${ESC}[`, `${ESC}[1;`, '\r', '\b', `a\r${ESC}[K`]) {
      expect(terminalText(evil.repeat(20_000)).length).toBeLessThanOrEqual(60_000);
    }
  });
});

describe('lastVisibleLine', () => {
  it('skips lines that show nothing', () => {
    expect(lastVisibleLine(`first\n ${ESC}[0m \n\n`)).toBe('first');
    expect(lastVisibleLine('10%\r20%')).toBe('20%');
    expect(lastVisibleLine('\n\n')).toBeNull();
  });
});

describe('counts', () => {
  it('groups digits the same everywhere', () => {
    expect([0, 999, 1_000, 1_234_567].map(formatCount)).toEqual(['0', '999', '1,000', '1,234,567']);
    expect([plural(1, 'line'), plural(2, 'line')]).toEqual(['1 line', '2 lines']);
  });
});
