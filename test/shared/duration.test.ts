import { describe, expect, it } from 'vitest';
import { formatDuration, parseDuration } from '../../src/shared/duration.ts';

describe('parseDuration', () => {
  it.each([
    ['0', 0],
    ['1500', 1_500],
    ['250ms', 250],
    ['90s', 90_000],
    [' 30 M ', 1_800_000],
    ['0.5h', 1_800_000],
    ['7d', 604_800_000],
  ])('%j is %i ms', (text, milliseconds) => {
    expect(parseDuration(text)).toBe(milliseconds);
  });

  it.each(['', 'soon', '-1s', '1w', '1h30m', '1,5h', '0x10', 'Infinity', '9'.repeat(30)])(
    '%j is none',
    (text) => {
      expect(parseDuration(text)).toBeNull();
    },
  );
});

describe('formatDuration', () => {
  it.each([
    [-5, '0ms'],
    [450, '450ms'],
    [12_400, '12s'],
    [200_000, '3m 20s'],
    [3_600_000, '1h'],
    [3_605_000, '1h'],
    [83_100_000, '23h 5m'],
    [90_000_000, '1d 1h'],
  ])('%i ms is %s', (milliseconds, text) => {
    expect(formatDuration(milliseconds)).toBe(text);
  });
});
