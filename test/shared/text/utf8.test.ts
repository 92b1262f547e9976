import { describe, expect, it } from 'vitest';
import {
  characterAt,
  characterEnd,
  characterStart,
  decodeUtf8,
  hasLoneSurrogate,
  isPlainText,
} from '../../../src/shared/text/utf8.ts';

const text = Buffer.from('aé€😀z');

describe('character boundaries', () => {
  it('never split a character', () => {
    for (let cut = 0; cut <= text.length; cut++) {
      const end = characterEnd(text, cut);
      expect(end).toBeLessThanOrEqual(cut);
      expect(cut - end).toBeLessThan(4);
      const head = decodeUtf8(text.subarray(0, end));
      expect(head + decodeUtf8(text.subarray(end))).toBe('aé€😀z');
      expect(head).not.toContain('\uFFFD');
    }
  });

  it('include the first one of a slice', () => {
    for (let cut = 0; cut <= text.length; cut++) {
      const part = text.subarray(cut);
      expect(decodeUtf8(part.subarray(characterStart(part)))).not.toContain('\uFFFD');
    }
  });

  it('are found from any byte of a character', () => {
    for (let at = 0; at <= text.length; at++) {
      const begin = characterAt(text, at);
      expect(decodeUtf8(text.subarray(begin))).not.toContain('\uFFFD');
      expect(at - begin).toBeLessThan(4);
      expect(characterAt(text, begin)).toBe(begin);
    }
    const latin1 = Buffer.from([0xe9, 0x61, 0xf0, 0x80, 0x61, 0x80, 0x80]);
    for (let at = 0; at < latin1.length; at++) expect(characterAt(latin1, at)).toBe(at);
  });

  it('leave invalid UTF-8 unchanged', () => {
    const noise = Buffer.from([0x80, 0x80, 0x80, 0x80, 0x80]);
    expect(characterEnd(noise)).toBe(5);
    expect(characterStart(noise)).toBe(3);
    expect(characterEnd(Buffer.from([0x61, 0xff]))).toBe(2);
    expect(characterEnd(Buffer.alloc(0))).toBe(0);
  });
});

describe('isPlainText', () => {
  it.each([
    ['', true],
    ['text\n', true],
    ['a\0b', false],
  ])('%j', (value, expected) => {
    expect(isPlainText(Buffer.from(value))).toBe(expected);
  });

  it('rejects invalid UTF-8', () => {
    expect(isPlainText(Buffer.from([0xc3]))).toBe(false);
  });
});

it('decoding keeps a byte order mark', () => {
  expect(decodeUtf8(Buffer.from('\uFEFFa'))).toBe('\uFEFFa');
});

it('lone surrogates are found', () => {
  expect(hasLoneSurrogate('a\ud800b')).toBe(true);
  expect(hasLoneSurrogate('a😀b')).toBe(false);
});
