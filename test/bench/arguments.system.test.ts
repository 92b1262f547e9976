import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readArguments } from '../../bench/arguments.ts';
import { TIMEOUT_FACTOR } from '../support/timeout-factor.ts';

const MAIN = join(import.meta.dirname, '../../bench/main.ts');

function bench(...args: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', MAIN, ...args], {
    encoding: 'utf8',
    timeout: 25_000 * TIMEOUT_FACTOR,
  });
  return { status, stdout, stderr };
}

describe('the command line of the bench', () => {
  it('is parsed', () => {
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

  it('explains itself', () => {
    const { status, stdout, stderr } = bench('--help');
    expect([status, stderr]).toEqual([0, '']);
    for (const part of ['Usage: npm run bench', '--only NAME', '--json', '--large', 'first-output']) {
      expect(stdout).toContain(part);
    }
  });

  it.each([
    [['--nonsense'], "Unknown option '--nonsense'"],
    [['call'], "Unexpected argument 'call'"],
    [['--only'], "'--only <value>' argument missing"],
    [['--json=1'], "'--json' does not take an argument"],
    [['--only', 'call', '--only', 'nothing'], 'Unknown row "nothing".'],
    [['--only', 'start', '--against', '--output=x'], 'argument is ambiguous'],
    [['--only', 'start', '--against', 'no-such-commit'], 'Unknown commit "no-such-commit".'],
  ])('rejects %j with the usage, and measures nothing', (args, words) => {
    const { status, stdout, stderr } = bench(...args);
    expect([status, stdout]).toEqual([2, '']);
    expect(stderr).toMatch(/^bench: /);
    expect(stderr).toContain(words);
    expect(stderr).toContain('Usage: npm run bench');
    expect(stderr).not.toMatch(/\n\s+at /);
  });
});
