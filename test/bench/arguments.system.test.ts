/** The program itself; `arguments.test.ts` has what it rejects. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const MAIN = join(import.meta.dirname, '../../bench/main.ts');

function bench(...args: string[]) {
  return spawnSync(process.execPath, ['--import', 'tsx', MAIN, ...args], { encoding: 'utf8' });
}

describe('the command line of the bench', () => {
  it('explains itself', () => {
    const { status, stdout, stderr } = bench('--help');
    expect([status, stderr]).toEqual([0, '']);
    for (const part of ['Usage: npm run bench', '--only NAME', '--json', '--large', 'first-output']) {
      expect(stdout).toContain(part);
    }
  });

  it.each([
    [['--only', 'call', '--only', 'nothing'], 'Unknown row "nothing".'],
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
