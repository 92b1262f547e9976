/** The summary of a test run: the slowest files, the number of tests, and how to repeat a failure. */

export interface TestReport {
  /** Names of its groups and its own, outermost first. */
  readonly names: readonly string[];
  readonly state: 'passed' | 'failed' | 'skipped';
  /** Why it was skipped, if known. */
  readonly reason?: string | undefined;
}

export interface FileReport {
  /** From the root of the repository. */
  readonly path: string;
  readonly project: string;
  readonly durationMs: number;
  /** True if the file failed outside its tests, for example during import or in a hook. */
  readonly failedOutsideTests: boolean;
  readonly tests: readonly TestReport[];
}

export interface Totals {
  readonly passed: number;
  /** Failed tests, and files that failed without a failed test. */
  readonly failed: number;
  readonly skipped: number;
}

const SLOWEST = 10;

export function totals(files: readonly FileReport[]): Totals {
  const states = files.flatMap(({ tests }) => tests.map(({ state }) => state));
  const count = (wanted: string) => states.filter((state) => state === wanted).length;
  const failed = count('failed') + files.filter(failedAsAWhole).length;
  return { passed: count('passed'), failed, skipped: count('skipped') };
}

export function totalsLine({ passed, failed, skipped }: Totals): string {
  return `${passed} passed, ${failed} failed, ${skipped} skipped`;
}

/** The whole summary, without a line break at its end. The last line has the numbers. */
export function summary(files: readonly FileReport[], seed: string): string {
  const parts = [slowest(files), failures(files, seed), numbers(files)];
  return parts.filter((part) => part !== '').join('\n\n');
}

function slowest(files: readonly FileReport[]): string {
  if (files.length <= 1) return '';
  const lines = files
    .toSorted((a, b) => b.durationMs - a.durationMs)
    .slice(0, SLOWEST)
    .map(({ path, durationMs }) => `${(durationMs / 1000).toFixed(1).padStart(8)} s  ${path}`);
  return ['The slowest files:', ...lines].join('\n');
}

function failures(files: readonly FileReport[], seed: string): string {
  const lines = files.flatMap((file) => {
    const run = `SEED=${seed} npx vitest run --project ${file.project} ${file.path}`;
    const failed = file.tests.filter(({ state }) => state === 'failed');
    const whole = failedAsAWhole(file) ? [`  ${run}`] : [];
    return [...whole, ...failed.map(({ names }) => `  ${run} -t ${shellWord(pattern(names))}`)];
  });
  return lines.length === 0 ? '' : ['To run just what failed:', ...lines].join('\n');
}

function numbers(files: readonly FileReport[]): string {
  const { passed, failed, skipped } = totals(files);
  const reasons = new Map<string, number>();
  for (const { state, reason } of files.flatMap(({ tests }) => tests)) {
    if (state !== 'skipped') continue;
    const why = reason ?? 'no reason given';
    reasons.set(why, (reasons.get(why) ?? 0) + 1);
  }
  const why = [...reasons].sort(([, a], [, b]) => b - a).map(([reason, count]) => `${count}: ${reason}`);
  const skippedWhy = why.length === 0 ? '' : ` (${why.join('; ')})`;
  return `${passed + failed} tests ran: ${totalsLine({ passed, failed, skipped })}${skippedWhy}`;
}

function failedAsAWhole({ failedOutsideTests, tests }: FileReport): boolean {
  return failedOutsideTests && tests.every(({ state }) => state !== 'failed');
}

/** The argument for `-t`: a regular expression for the names of the groups and the test, joined by blanks. */
function pattern(names: readonly string[]): string {
  return `${names.join(' ').replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')}$`;
}

function shellWord(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
