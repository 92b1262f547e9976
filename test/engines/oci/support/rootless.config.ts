/** The contract suite only, for a process that must not write to this tree. */
import { defineConfig } from 'vitest/config';

/** As in the configuration of the whole suite. */
const TIMEOUT_FACTOR = Number(process.env['TEST_TIMEOUT_FACTOR'] ?? 1);

export default defineConfig({
  cacheDir: process.env['TMPDIR'] ?? '/tmp',
  test: {
    include: ['test/engines/oci/conformance.system.test.ts'],
    pool: 'forks',
    maxWorkers: 1,
    testTimeout: 600_000 * TIMEOUT_FACTOR,
    hookTimeout: 600_000 * TIMEOUT_FACTOR,
    expect: { poll: { timeout: 120_000 * TIMEOUT_FACTOR } },
  },
});
