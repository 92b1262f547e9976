import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { annotatedOutputText, isBinary, omission, outputText } from '../../../src/shared/text/output-text.ts';

describe('outputText', () => {
  it('shows text without colours', () => {
    expect(outputText(Buffer.from('\u001b[32mok\u001b[0m\n'), 'X')).toBe('ok\n');
    expect(outputText(Buffer.alloc(0), 'X')).toBe('');
  });

  it('reports binary data instead of showing it', () => {
    const bytes = Buffer.concat([Buffer.from('\u007fELF'), randomBytes(1_230)]);
    expect(outputText(bytes, 'the call')).toBe('[1,234 bytes of binary data; read with the call]');
  });

  it('shows stray invalid bytes and reports them', () => {
    const latin1 = Buffer.from('a caf\u00e9 in Latin-1, a whole line of it\n', 'latin1');
    expect(outputText(latin1, 'the call')).toBe('a caf\uFFFD in Latin-1, a whole line of it\n');
    const shown = annotatedOutputText(latin1, 'the call');
    expect(shown).toMatch(/^a caf\uFFFD in Latin-1/);
    expect(shown).toContain('not UTF-8');
    expect(shown).toContain('the call');
  });
});

describe('isBinary', () => {
  it.each([
    ['words', Buffer.from('words in a row'), false],
    ['names separated by NUL', Buffer.from('./a/long/name.txt\0./another/name.txt\0'), false],
    ['a padded archive', Buffer.concat([Buffer.from('name'), Buffer.alloc(500)]), true],
    ['random bytes', randomBytes(4_096), true],
    ['nothing', Buffer.alloc(0), false],
    ['a short line of Latin-1', Buffer.from('\u00e9t\u00e9\n', 'latin1'), false],
    ['Russian in Windows-1251', Buffer.from([0xcf, 0xf0, 0xe8, 0xe2, 0xe5, 0xf2, 0x0a]), false],
    [
      'names in Latin-1 separated by NUL',
      Buffer.from('./\u00e9t\u00e9.txt\0./No\u00ebl.txt\0', 'latin1'),
      false,
    ],
    ['UTF-16', Buffer.from('words in a row', 'utf16le'), true],
    ['Japanese', Buffer.from('日本語のテキスト'), false],
  ])('%s', (_name, bytes, expected) => {
    expect(isBinary(bytes)).toBe(expected);
  });
});

it('the omission notice reports what is omitted and how to get it', () => {
  expect(omission({ bytes: 1_234_567, lines: 1 }, 'command_output')).toBe(
    '[… 1,234,567 bytes (1 line) left out; read with command_output …]',
  );
  expect(omission({ bytes: 5, lines: null }, 'command_output')).not.toContain('line)');
});
