/** A short torture; `npm run torture` is the long one, with every fault. */
import { describe, expect, it } from 'vitest';
import { torture } from './torture.ts';

/** The same calls and faults in every run: clock, runtime, signals and processes. */
const SEED = 5;

describe.runIf(process.platform === 'linux')('servers under torture', () => {
  it('keep their promises', async () => {
    const report = await torture({
      seed: SEED,
      sessions: 2,
      faultsPerRound: 6,
      // On a busy machine a round may bring too few calls to have anything to verify.
      another: ({ rounds, verified }) =>
        rounds === 0 || (rounds < 10 && verified.files + verified.logs === 0),
    });
    process.stderr.write(`${report}\n`);
    expect(report.violations).toEqual([]);
    expect(report.verified.leftoverChecks).toBeGreaterThan(0);
    expect(report.verified.files + report.verified.logs).toBeGreaterThan(0);
  });
});
