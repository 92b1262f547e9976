import { expect, it } from 'vitest';
import { formatCount, plural } from '../../../src/shared/text/text.ts';

it('number formatting is the same in every locale', () => {
  expect([0, 999, 1_000, 1_234_567].map(formatCount)).toEqual(['0', '999', '1,000', '1,234,567']);
  expect([plural(1, 'line'), plural(2, 'line')]).toEqual(['1 line', '2 lines']);
});
