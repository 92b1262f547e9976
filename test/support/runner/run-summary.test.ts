import { describe, expect, it } from 'vitest';
import { type FileReport, summary, totals, totalsLine } from './run-summary.ts';

const PASSED = { names: ['group', 'passes'], state: 'passed' } as const;
const FAILED = { names: ['group', "it's (a) test"], state: 'failed' } as const;

function file(path: string, given: Partial<FileReport> = {}): FileReport {
  return { path, project: 'unit', durationMs: 1_000, failedOutsideTests: false, tests: [PASSED], ...given };
}

function skipped(reason?: string): FileReport['tests'][number] {
  return { names: ['skipped'], state: 'skipped', reason };
}

describe('the summary of a run', () => {
  it('ends with the counts, and why tests were skipped', () => {
    const tests = [PASSED, FAILED, skipped('needs root'), skipped(), skipped('needs root')];
    expect(summary([file('a.test.ts', { tests })], '7')).toMatch(
      /\n2 tests ran: 1 passed, 1 failed, 3 skipped \(2: needs root; 1: no reason given\)$/,
    );
  });

  it('names the ten slowest files, slowest first', () => {
    const files = Array.from({ length: 12 }, (_, index) =>
      file(`f${index}.test.ts`, { durationMs: index * 1_500 }),
    );
    const lines = summary(files, '7').split('\n');
    expect(lines.slice(0, 3)).toEqual([
      'The slowest files:',
      '    16.5 s  f11.test.ts',
      '    15.0 s  f10.test.ts',
    ]);
    expect(lines.indexOf('')).toBe(11);
  });

  it('prints the command that reruns a failed test with its seed', () => {
    const text = summary([file('a.test.ts', { project: 'system', tests: [PASSED, FAILED] })], '7');
    expect(text).toContain(
      "\n  SEED=7 npx vitest run --project system a.test.ts -t 'group it'\\''s \\(a\\) test$'\n",
    );
  });

  it('counts a file that failed without a failed test, as on import', () => {
    const files = [file('a.test.ts', { failedOutsideTests: true, tests: [] }), file('b.test.ts')];
    expect(totals(files)).toEqual({ passed: 1, failed: 1, skipped: 0 });
    expect(summary(files, '7')).toContain('\n  SEED=7 npx vitest run --project unit a.test.ts\n');
  });

  it('counts a file with a failed test only by its tests', () => {
    const files = [file('a.test.ts', { failedOutsideTests: true, tests: [FAILED] })];
    expect(totalsLine(totals(files))).toBe('0 passed, 1 failed, 0 skipped');
  });
});
