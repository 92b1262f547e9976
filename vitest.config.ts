import { randomInt } from 'node:crypto';
import { defineConfig } from 'vitest/config';
import { LongestFirst } from './test/support/runner/longest-first.ts';
import { TIMEOUT_FACTOR } from './test/support/timeout-factor.ts';

/** Tests of random inputs start from it; the run's summary repeats it, so that a failure can be had again. */
const SEED = process.env['SEED'] ?? String(randomInt(2 ** 31));

const SYSTEM_TESTS = 'test/**/*.system.test.ts';

export default defineConfig({
  test: {
    projects: [
      {
        extends: true,
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [SYSTEM_TESTS],
        },
      },
      { extends: true, test: { name: 'system', include: [SYSTEM_TESTS] } },
    ],
    reporters: ['default', './test/support/runner/summary-reporter.ts'],
    coverage: {
      include: ['src/**/*.ts', 'tools/**/*.ts'],
      reporter: ['text-summary'],
      // Of the unit tests alone: what system tests run, such as the engines, counts as not covered.
      thresholds: { lines: 62, branches: 57 },
    },
    env: { SEED },
    globalSetup: 'test/support/runner/global-setup.ts',
    setupFiles: 'test/support/runner/compare-bytes.ts',
    pool: 'forks',
    // No test mocks a module or changes its process, so that files can share what one has imported.
    isolate: false,
    // More than a small machine has processors: most of a test's time is waiting for programs and for their
    // limits.
    maxWorkers: 4,
    maxConcurrency: 4,
    sequence: { sequencer: LongestFirst },
    // No test measures time: what takes seconds here may take many times as long on a machine that is busy.
    testTimeout: 600_000 * TIMEOUT_FACTOR,
    hookTimeout: 600_000 * TIMEOUT_FACTOR,
    teardownTimeout: 30_000 * TIMEOUT_FACTOR,
    expect: { poll: { timeout: 120_000 * TIMEOUT_FACTOR } },
  },
});
