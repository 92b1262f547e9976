/** A server that is killed at any moment of a busy session leaves nothing that the next start, or `clean`, does not remove. */
import { describe, it } from 'vitest';
import { SEED } from '../support/seed.ts';
import { killAt } from './support/kill-at.ts';
import { randomMoments, SOUGHT } from './support/moments.ts';

const MOMENTS = 20;

// Side by side: most of a round is waiting for sandboxes and for the server.
describe(`killed by SIGKILL (SEED=${SEED})`, { concurrent: true, timeout: 600_000 }, () => {
  const moments = [...SOUGHT, ...randomMoments(SEED, MOMENTS - SOUGHT.length)];
  for (const [index, moment] of moments.entries()) {
    const way = index % 3 === 2 ? 'clean' : 'next start';
    it(`${index + 1}, then ${way}: ${moment.name}`, async () => {
      await killAt(moment, way);
    });
  }
});
