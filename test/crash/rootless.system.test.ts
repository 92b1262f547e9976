/**
 * The crash test for the server of an ordinary user: processes and files with subordinate ids, and no
 * cgroups.
 */
import { describe, it } from 'vitest';
import { needs } from '../support/needs.ts';
import { canBecomeOrdinary, makeOrdinaryUser } from '../support/ordinary-user.ts';
import { SEED } from '../support/seed.ts';
import { killAt } from './support/kill-at.ts';
import { randomMoments, SOUGHT } from './support/moments.ts';

const AT_RANDOM = 3;

const title = `killed by SIGKILL as an ordinary user (SEED=${SEED})`;
describe(title, needs('root, to become another user', canBecomeOrdinary), () => {
  const moments = [...SOUGHT.filter(({ inStart }) => inStart), ...randomMoments(SEED, AT_RANDOM)];
  for (const [index, moment] of moments.entries()) {
    const way = index % 3 === 2 ? 'clean' : 'next start';
    // The check for leftovers runs as root, which sees all processes.
    it(`${index + 1}, then ${way}: ${moment.name}`, async () => {
      const user = await makeOrdinaryUser(index % 2 === 0);
      try {
        await killAt(moment, way, user);
      } finally {
        await user.remove();
      }
    });
  }
});
