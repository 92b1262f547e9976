/**
 * `npm run test:programs`: installs large programs inside sandboxes and drives them. Not part of `npm test`:
 * it downloads about a gigabyte from the package archives of Debian and npm.
 */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/programs/*.ts'],
    globalSetup: 'test/support/runner/global-setup.ts',
    setupFiles: 'test/support/runner/compare-bytes.ts',
    // The setup adds to it.
    env: {},
    pool: 'forks',
    // Each file has a sandbox of its own; two of them at once would only wait for the same disk and network.
    maxWorkers: 1,
    testTimeout: 1_800_000,
    hookTimeout: 1_800_000,
    teardownTimeout: 60_000,
    expect: { poll: { timeout: 120_000, interval: 250 } },
  },
});
