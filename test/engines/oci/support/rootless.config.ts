/** The contract suite only, for a process that must not write to this tree. */
import { defineConfig } from 'vitest/config';
import { TIMEOUT_FACTOR } from '../../../support/timeout-factor.ts';

export default defineConfig({
  cacheDir: process.env['TMPDIR'] ?? '/tmp',
  test: {
    include: [
      'test/engines/oci/conformance.system.test.ts',
      ...(process.env['EXPECTED_ISOLATION'] === 'subordinate ids'
        ? ['test/escape/escape.system.test.ts']
        : []),
    ],
    setupFiles: 'test/support/runner/compare-bytes.ts',
    pool: 'forks',
    maxWorkers: 1,
    testTimeout: 600_000 * TIMEOUT_FACTOR,
    hookTimeout: 600_000 * TIMEOUT_FACTOR,
    expect: { poll: { timeout: 120_000 * TIMEOUT_FACTOR } },
  },
});
