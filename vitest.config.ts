import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Those that take longest, so that the run does not end with one of them alone; in an order in which they wait by turns. */
const LONG = [
  'faults/faults-commands',
  'oci/conformance-rootless',
  'egress/circumvention',
  'snapshot-crash',
  'faults/faults-life',
  'crash/kill',
  'escape/escape',
  'oci/conformance.test',
  'vercel/conformance.test',
  'vercel/sessions',
  'faults/faults-snapshots',
  'shells/shell-life',
  'images/apt',
  'crash/rootless',
  'images/node-runtime',
  'faults/faults-files',
  'agent/fuzz',
  'sandboxes/disk',
  'demo/demo',
];

function placeOf({ moduleId }: TestSpecification): number {
  const place = LONG.findIndex((name) => moduleId.includes(name));
  return place === -1 ? LONG.length : place;
}

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).sort((a, b) => placeOf(a) - placeOf(b));
  }
}

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: 'test/support/global-setup.ts',
    pool: 'forks',
    // More than a small machine has processors: most of a test's time is waiting for programs and for their limits.
    maxWorkers: 4,
    maxConcurrency: 4,
    sequence: { sequencer: LongestFirst },
    // None is there to measure: what takes seconds here may take many times as long on a machine that is busy.
    testTimeout: 120_000,
    hookTimeout: 120_000,
    teardownTimeout: 30_000,
    expect: { poll: { timeout: 30_000 } },
  },
});
