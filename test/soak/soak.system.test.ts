/** A short soak; `npm run soak` is the long one, which also watches memory. */
import { describe, expect, it } from 'vitest';
import { soak } from './soak.ts';

describe.runIf(process.platform === 'linux')('many clients at one server', () => {
  it('get an answer to every call, and leave nothing', async () => {
    const { calls, violations } = await soak({ sessions: 8, rounds: 0 });
    expect(violations).toEqual([]);
    expect(calls.get('answered ok')).toBeGreaterThan(8);
  });
});
