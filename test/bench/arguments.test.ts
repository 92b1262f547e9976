import { describe, expect, it } from 'vitest';
import { readArguments, UsageError } from '../../bench/arguments.ts';

describe('the arguments of the bench', () => {
  it('are parsed', () => {
    expect(readArguments([])).toEqual({
      only: null,
      against: null,
      json: false,
      write: false,
      large: false,
      help: false,
    });
    expect(readArguments(['--only', 'call', '--json', '--only=kill', '--large', '--against', 'v1'])).toEqual({
      only: ['call', 'kill'],
      against: 'v1',
      json: true,
      write: false,
      large: true,
      help: false,
    });
  });

  it.each([
    [['--nonsense'], "Unknown option '--nonsense'"],
    [['call'], "Unexpected argument 'call'"],
    [['--only'], "'--only <value>' argument missing"],
    [['--json=1'], "'--json' does not take an argument"],
    [['--write', '--against', 'v1'], '--write is for this commit alone.'],
    [['--only', 'start', '--against', '--output=x'], 'argument is ambiguous'],
  ])('are rejected: %j', (args, words) => {
    expect(() => readArguments(args)).toThrow(UsageError);
    expect(() => readArguments(args)).toThrow(words);
  });
});
