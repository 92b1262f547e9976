import { expect, it } from 'vitest';
import { formatCount, plural, textBlock } from '../../../src/shared/text/text.ts';

it('number formatting is the same in every locale', () => {
  expect([0, 999, 1_000, 1_234_567].map(formatCount)).toEqual(['0', '999', '1,000', '1,234,567']);
  expect([plural(1, 'line'), plural(2, 'line')]).toEqual(['1 line', '2 lines']);
});

it('a block of text says where it ends, and how much was written if that is something else', () => {
  expect(textBlock('stdout', 'äb\n')).toBe('stdout (4 bytes):\näb');
  expect(textBlock('stdout', 'ab\n', 3)).toBe('stdout (3 bytes):\nab');
  expect(textBlock('stdout', 'ab (note)\n', 2)).toBe('stdout (10 bytes, from 2 written):\nab (note)');
  expect(textBlock('stdout', '', 5)).toBe('stdout (0 bytes, from 5 written):');
});
