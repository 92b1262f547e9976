/** The next start, or `clean`, removes everything left by a server killed at any moment of a busy session. */
import { describe, it } from 'vitest';
import { SEED } from '../support/seed.ts';
import { killAt } from './support/kill-at.ts';
import { randomMoments, SOUGHT } from './support/moments.ts';

const MOMENTS = 14;

// In parallel: most of a round is spent waiting for sandboxes and the server.
describe(`killed by SIGKILL (SEED=${SEED})`, { concurrent: true }, () => {
  const moments = [...SOUGHT, ...randomMoments(SEED, MOMENTS - SOUGHT.length)];
  for (const [index, moment] of moments.entries()) {
    const way = index % 3 === 2 ? 'clean' : 'next start';
    it(`${index + 1}, then ${way}: ${moment.name}`, async () => {
      await killAt(moment, way);
    });
  }
});
