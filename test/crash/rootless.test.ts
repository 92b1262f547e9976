/** The crash test of an ordinary user's server: ids of others among its processes and files, and no cgroups. */
import { randomInt } from 'node:crypto';
import { describe, it } from 'vitest';
import { canBecomeOrdinary, makeOrdinaryUser } from '../support/ordinary-user.ts';
import { killAt } from './support/kill-at.ts';
import { randomMoments, SOUGHT } from './support/moments.ts';

const AT_RANDOM = 3;
const SEED = Number(process.env['CRASH_TEST_SEED'] ?? randomInt(2 ** 31));

process.stdout.write(`CRASH_TEST_SEED=${SEED} repeats the random moments\n`);

describe(`killed by SIGKILL as an ordinary user (CRASH_TEST_SEED=${SEED})`, () => {
  const moments = [...SOUGHT.filter(({ inStart }) => inStart), ...randomMoments(SEED, AT_RANDOM)];
  for (const [index, moment] of moments.entries()) {
    const way = index % 3 === 2 ? 'clean' : 'next start';
    // Root sees all processes, so root looks for what is left; a server of an ordinary user could not.
    it.runIf(canBecomeOrdinary)(`${index + 1}, then ${way}: ${moment.name}`, async () => {
      const user = await makeOrdinaryUser(index % 2 === 0);
      try {
        await killAt(moment, way, user);
      } finally {
        await user.remove();
      }
    });
  }
});
