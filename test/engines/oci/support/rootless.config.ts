/** The contract suite alone, for a process that may write nowhere in this tree. */
import { defineConfig } from 'vitest/config';

/** As in the configuration of the whole suite. */
const PATIENCE = Number(process.env['TEST_PATIENCE'] ?? 1);

export default defineConfig({
  cacheDir: process.env['TMPDIR'] ?? '/tmp',
  test: {
    include: ['test/engines/oci/conformance.system.test.ts'],
    pool: 'forks',
    maxWorkers: 1,
    testTimeout: 120_000 * PATIENCE,
    hookTimeout: 120_000 * PATIENCE,
    expect: { poll: { timeout: 30_000 * PATIENCE } },
  },
});
