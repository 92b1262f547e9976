/** The contract suite alone, for a process that may write nowhere in this tree. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  cacheDir: process.env['TMPDIR'] ?? '/tmp',
  test: {
    include: ['test/engines/oci/conformance.system.test.ts'],
    pool: 'forks',
    maxWorkers: 1,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 30_000 } },
  },
});
