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
  it('never cuts a character, wherever the cut falls', () => {
    for (let cut = 0; cut <= text.length; cut++) {
      const end = characterEnd(text, cut);
      expect(end).toBeLessThanOrEqual(cut);
      expect(cut - end).toBeLessThan(4);
      const head = decodeUtf8(text.subarray(0, end));
      expect(head + decodeUtf8(text.subarray(end))).toBe('aé€😀z');
      expect(head).not.toContain('\uFFFD');
    }
  });

  it('finds the first boundary of a part', () => {
    for (let cut = 0; cut <= text.length; cut++) {
      const part = text.subarray(cut);
      expect(decodeUtf8(part.subarray(characterStart(part)))).not.toContain('\uFFFD');
    }
  });

  it('finds the character that a byte lies in', () => {
    for (let at = 0; at <= text.length; at++) {
      const begin = characterAt(text, at);
      expect(decodeUtf8(text.subarray(begin))).not.toContain('\uFFFD');
      expect(at - begin).toBeLessThan(4);
      expect(characterAt(text, begin)).toBe(begin);
    }
    const latin1 = Buffer.from([0xe9, 0x61, 0xf0, 0x80, 0x61, 0x80, 0x80]);
    for (let at = 0; at < latin1.length; at++) expect(characterAt(latin1, at)).toBe(at);
  });

  it('leaves bytes alone that are no UTF-8', () => {
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

  it('refuses bytes that are no UTF-8', () => {
    expect(isPlainText(Buffer.from([0xc3]))).toBe(false);
  });
});

it('keeps a byte order mark', () => {
  expect(decodeUtf8(Buffer.from('\uFEFFa'))).toBe('\uFEFFa');
});

it('finds halves of characters', () => {
  expect(hasLoneSurrogate('a\ud800b')).toBe(true);
  expect(hasLoneSurrogate('a😀b')).toBe(false);
});
